import { Env } from '@stowage/core/driver'
import driver, { redis, redisBus, redisTracking } from '@stowage/redis'
import { describe, expect, test } from 'vitest'

describe('invalid options are rejected with a remedy', () => {
  test.each([
    ['banana', /not a redis:\/\/ or rediss:\/\/ URL/],
    ['http://127.0.0.1', /not a redis:\/\/ or rediss:\/\/ URL/],
    ['redis://127.0.0.1/first', /number/],
    ['redis://127.0.0.1?family=6', /%3F/],
    ['redis://u:a%zz@127.0.0.1', /%25/],
  ])('url: %s', (url, remedy) => {
    expect(() => redis({ url })).toThrow(remedy)
  })

  test.each([
    [{ timeout: 0 }, /timeout must be between/],
    [{ timeout: Infinity }, /timeout must be between/],
    [{ connectTimeout: -5 }, /connectTimeout must be between/],
    [{ database: Number.NaN }, /database must be a whole number of at least/],
    [{ database: 1.5 }, /database must be a whole number of at least/],
    [{ maxValueBytes: 0 }, /maxValueBytes must be a whole number of at least/],
    [{ clusterNodes: ['a:1'], replicas: ['b:1'] }, /clusterNodes cannot be combined with replicas/],
    [{ clusterNodes: ['a:1'], url: 'redis://a/3' }, /a database other than 0/],
    [{ clusterNodes: ['a'] }, /each entry of clusterNodes must be host:port/],
    [{ consistency: 'banana' as 'strong' }, /consistency must be one of eventual, session, strong/],
    [
      { replicas: ['a:1'], replicaConnections: 0 },
      /replicaConnections must be a whole number of at least/,
    ],
    [{ replicas: ['a'] }, /each entry of replicas must be host:port or a URL/],
    [{ assumedLag: -1 }, /assumedLag must be between/],
    [{ sentinels: ['a'] }, /each entry of sentinels must be host:port/],
    [{ tls: {} }, /tls requires a rediss/],
    [{ url: 'rediss://127.0.0.1', tls: { cert: 'garbage' } }, /tls is invalid/],
  ])('%o', (options, remedy) => {
    expect(() => redis(options)).toThrow(remedy)
  })

  test.each(['Replica-1:6379', 'replica_1:6379', '[2001:DB8:0:0::1]:6379', '[::1]:6379'])(
    'a host and a port are an address: %s',
    async (address) => {
      await redis({ replicas: [address] }).close()
      await redis({ clusterNodes: [address] }).close()
    },
  )

  test.each([
    'a',
    'a:',
    ':1',
    'a:b',
    'a:70000',
    'u:p@a:1',
    '@a:1',
    'a:1/0',
    'a:1?',
    'a:1#',
    ' a:1',
    '::1',
    '[::1]',
  ])('no other text is an address: %s', (address) => {
    expect(() => redis({ clusterNodes: [address] })).toThrow(/must be host:port/)
  })

  test.each([['redis://secret@127.0.0.1'], [{ host: '127.0.0.1', port: 6379 }]])(
    'an address in another place than url is a TypeError that names url: %o',
    (options) => {
      expect(() => redis(options as object)).toThrow(
        new TypeError("redis: the address is the option url: redis({ url: 'redis://host:port' })."),
      )
    },
  )

  test('unknown options are a TypeError with the most similar name', () => {
    const error = (name: string) => new TypeError(name)
    expect(() => redis({ replica: [] } as object)).toThrow(
      error('redis: unknown option replica. Did you mean replicas?'),
    )
    expect(() => redisBus({ chanel: 'x' } as object)).toThrow(
      error('redis bus: unknown option chanel. Did you mean channel?'),
    )
    expect(() => redisTracking({ prefix: ['x'] } as object)).toThrow(
      error('redis tracking: unknown option prefix. Did you mean prefixes?'),
    )
  })
})

describe('environment variables', () => {
  test('that a cluster would ignore are reported with the other problems', () => {
    const variables = {
      REDIS_URL: 'redis://127.0.0.1/3',
      REDIS_CLUSTER_NODES: 'a:7000',
      REDIS_REPLICAS: 'a:1',
      REDIS_SENTINELS: 'a:2',
      REDIS_WAIT_REPLICAS: '1',
      REDIS_READ_FROM: 'banana',
    }
    const env = new Env(variables, 'cache')
    driver.fromEnv(env)
    expect(env.problems.map(({ variable }) => variable)).toEqual([
      'REDIS_READ_FROM',
      'REDIS_CLUSTER_NODES',
    ])
    expect(env.problems[1]?.remedy).toMatch(
      /REDIS_REPLICAS, REDIS_SENTINELS, a database other than 0 in REDIS_URL, REDIS_WAIT_REPLICAS/,
    )
  })

  const own = 'redis://sessions'
  test.each([
    { REDIS_SENTINELS: 'a:2' },
    { REDIS_CLUSTER_NODES: 'a:7000' },
    { REDIS_PRIMARY: 'a:1', REDIS_REPLICAS: 'a:2' },
    { REDIS_URL: 'redis://a', REDIS_REPLICAS: 'a:2' },
  ])('of the topology do not apply to a role with a URL of its own: %o', (variables) => {
    const env = new Env({ ...variables, SESSION_REDIS_URL: own }, 'session')
    const defined = Object.entries(driver.fromEnv(env)).filter(([, value]) => value !== undefined)
    expect([defined, env.problems]).toEqual([[['url', own]], []])
  })

  test('of the topology that belong to the role precede those of all roles', () => {
    const read = (variables: Record<string, string>) => {
      const env = new Env(variables, 'session')
      const { url, replicas, sentinels, clusterNodes } = driver.fromEnv(env)
      expect(env.problems).toEqual([])
      return { url, replicas, sentinels, clusterNodes }
    }
    const shared = { REDIS_URL: 'redis://:pw@a', REDIS_PRIMARY: 'b:1', REDIS_REPLICAS: 'b:2' }
    const [nodes, url] = [['s:1'], 'redis://:pw@a']
    expect(read({ ...shared, SESSION_REDIS_SENTINELS: 's:1' })).toEqual({ url, sentinels: nodes })
    expect(read({ ...shared, SESSION_REDIS_CLUSTER_NODES: 's:1' })).toEqual({
      ...{ url, clusterNodes: nodes },
    })
    expect(read({ ...shared, SESSION_REDIS_PRIMARY: 's:1' })).toEqual({ url: 'redis://:pw@s:1' })
    expect(read({ ...shared, SESSION_REDIS_REPLICAS: 's:1' })).toEqual({
      ...{ url: 'redis://:pw@b:1', replicas: nodes },
    })
    const both = { SESSION_REDIS_URL: own, SESSION_REDIS_SENTINELS: 's:1' }
    expect(read({ ...shared, ...both })).toEqual({ url: own, sentinels: nodes })
  })
})
