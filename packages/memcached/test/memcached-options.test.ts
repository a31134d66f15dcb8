import { Env } from '@stowage/core'
import driver, { type MemcachedOptions, memcached } from '@stowage/memcached'
import { startMemcached } from '@stowage/test-servers'
import { expect, test } from 'vitest'
import { usable } from '../src/connection/memjs.ts'
import { hasIPv6 } from './ipv6.ts'

const config = { code: 'ERR_CACHE_CONFIG' }

function read(variables: Record<string, string>) {
  const env = new Env(variables)
  return { options: driver.fromEnv(env) as MemcachedOptions, problems: env.problems }
}

test('the environment names the servers, or where they are told', () => {
  const { options, problems } = read({
    MEMCACHED_SERVERS: '10.0.0.1, cache.test:11212:2,[::1]:11213',
    MEMCACHED_USERNAME: 'app',
    MEMCACHED_PASSWORD: 'secret',
    MEMCACHED_TLS: 'yes',
    MEMCACHED_HASHING: 'modula',
  })
  expect(problems).toEqual([])
  expect(options).toMatchObject({
    servers: ['10.0.0.1', 'cache.test:11212:2', '[::1]:11213'],
    username: 'app',
    tls: true,
    hashing: 'modula',
  })
  const { pollInterval, onNodeDown, oversize } = read({
    MEMCACHED_POLL_INTERVAL: '10s',
    MEMCACHED_ON_NODE_DOWN: 'miss',
    MEMCACHED_OVERSIZE: 'chunk',
  }).options
  expect([pollInterval, onNodeDown, oversize]).toEqual([10_000, 'miss', 'chunk'])
  expect(
    read({
      MEMCACHED_CONFIGURATION_ENDPOINT: 'my.cfg.cache.test:11211',
      MEMCACHED_IGNORE_CLUSTER_ERRORS: 'true',
    }).options,
  ).toMatchObject({ configurationEndpoint: 'my.cfg.cache.test:11211', ignoreClusterErrors: true })
})

test('where the nodes of a role are beats where those of all are', () => {
  const role = (variables: Record<string, string>) => {
    const env = new Env(variables, 'session')
    return { ...driver.fromEnv(env), problems: env.problems }
  }
  expect(
    role({ MEMCACHED_SERVERS: 'a', SESSION_MEMCACHED_CONFIGURATION_ENDPOINT: 'b' }),
  ).toMatchObject({ configurationEndpoint: 'b', problems: [] })
  expect(
    role({ MEMCACHED_CONFIGURATION_ENDPOINT: 'b', SESSION_MEMCACHED_SERVERS: 'a' }),
  ).toMatchObject({ servers: ['a'], problems: [] })
})

test('what is wrong with the environment is said at once, without secrets', () => {
  const { problems } = read({
    MEMCACHED_SERVERS: 'a:99999',
    MEMCACHED_PASSWORD: 'secret',
    MEMCACHED_TLS: 'constructor',
    MEMCACHED_HASHING: 'rendezvous',
  })
  expect(problems.map(({ variable }) => variable)).toEqual([
    'MEMCACHED_SERVERS',
    'MEMCACHED_USERNAME',
    'MEMCACHED_TLS',
    'MEMCACHED_HASHING',
  ])
  expect(JSON.stringify(problems)).not.toContain('secret')
  const both = { MEMCACHED_SERVERS: 'a', MEMCACHED_CONFIGURATION_ENDPOINT: 'b' }
  expect(read(both).problems).toHaveLength(1)
})

test('options that cannot work are refused', () => {
  const wrong: Parameters<typeof memcached>[0][] = [
    { servers: [] },
    { servers: ['a:b:c'] },
    { servers: [{ host: 'a', port: 0 }] },
    { servers: [{ host: 'a', port: 1, weight: -1 }] },
    { servers: [{ host: 'a', port: 1, weight: Number.NaN }] },
    { servers: [undefined as never] },
    { servers: ['a'], configurationEndpoint: 'b' },
    { username: 'app' },
    { hashing: 'rendezvous' as never },
    { onNodeDown: 'ignore' as never },
    { protocol: 'ascii' as never },
    { oversize: 'compress' as never },
    { tls: { cert: 'no certificate' } },
  ]
  for (const options of wrong) {
    expect(() => memcached(options), JSON.stringify(options)).toThrow(
      expect.objectContaining(config),
    )
  }
})

test('credentials in an address are refused, and not repeated', () => {
  const address = 'app:s3cret@cache.test:11211'
  for (const options of [{ servers: [address] }, { configurationEndpoint: address }]) {
    const refusal = expect(() => memcached(options))
    refusal.toThrow(expect.objectContaining(config))
    refusal.not.toThrow(/s3cret/)
  }
  expect(JSON.stringify(read({ MEMCACHED_SERVERS: address }).problems)).not.toContain('s3cret')
})

test('a memjs without what is built upon is refused with its remedy', () => {
  class Other {
    sock() {}
    write() {}
  }
  expect(() => usable(Other)).toThrow(
    expect.objectContaining({
      ...config,
      message: expect.stringMatching(/saslAuth.*Install memjs/),
    }),
  )
  expect(() => usable(undefined as never)).toThrow(expect.objectContaining(config))
})

test.runIf(hasIPv6)('an address of IPv6, where the machine has one', async () => {
  const server = await startMemcached({ args: ['-l', '::1'] })
  const store = memcached({ servers: [`[::1]:${server.port}`] })
  try {
    await store.set('k', 'v')
    expect(String(await store.get('k'))).toBe('v')
    expect(store.nodes()).toMatchObject([{ host: '::1', state: 'up' }])
  } finally {
    await store.close()
    await server.stop()
  }
})
