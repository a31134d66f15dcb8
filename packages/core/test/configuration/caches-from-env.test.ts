import { CacheError, ConfigError, cachesFromEnv, DriverRegistry } from '@stowage/core'
import { Env, type Variables } from '@stowage/core/driver'
import { maskSecrets } from '@stowage/core/internal'
import { memory } from '@stowage/memory'
import { ReferenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'

const registry = new DriverRegistry({
  memory: () => import('@stowage/memory'),
  redis: () => import('@stowage/redis'),
  memcached: () => import('@stowage/memcached'),
})

async function problemsOf(variables: Variables, options = {}): Promise<ConfigError> {
  const error = await cachesFromEnv(variables, registry, options).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(ConfigError)
  return error as ConfigError
}

const variablesOf = ({ problems }: ConfigError) => problems.map(({ variable }) => variable).sort()

describe('cachesFromEnv', () => {
  test('uses memory for both roles, with separate entries, if no variable is set', async () => {
    const caches = await cachesFromEnv({}, registry)
    expect([caches.use('cache').driver, caches.use('session').driver]).toEqual(['memory', 'memory'])
    await caches.use('cache').set('k', 1)
    expect(await caches.use('session').get('k')).toBeUndefined()
  })

  test('uses the driver of the cache for sessions unless SESSION_DRIVER is set', async () => {
    const both = await cachesFromEnv({ CACHE_DRIVER: 'redis' }, registry)
    expect(both.use('session').driver).toBe('redis')
    const own = await cachesFromEnv({ CACHE_DRIVER: 'redis', SESSION_DRIVER: 'memory' }, registry)
    expect(own.use('session').driver).toBe('memory')
    expect(own.use('cache').driver).toBe('redis')
    await Promise.all([both.close(), own.close()])
  })

  test.each([
    [{ REDIS_REPLICAS: 'a:1' }, 'REDIS_PRIMARY or REDIS_URL'],
    [{ REDIS_PRIMARY: 'a:1', REDIS_SENTINELS: 'b:1' }, 'combined with REDIS_SENTINELS'],
    [{ REDIS_PRIMARY: 'a:1', REDIS_CLUSTER_NODES: 'b:1' }, 'combined with REDIS_CLUSTER_NODES'],
    [{ REDIS_REPLICAS: 'a:1', REDIS_SENTINELS: 'b:2' }, 'REDIS_SENTINELS'],
    [{ REDIS_REPLICAS: 'a:1', REDIS_CLUSTER_NODES: 'b:2' }, 'REDIS_REPLICAS'],
  ])('refuses the servers of %j, which contradict each other', async (variables, named) => {
    const error = await problemsOf({ CACHE_DRIVER: 'redis', ...variables })
    expect(error.message).toContain(named)
  })

  test('reads the addresses of a primary, replicas and Sentinels', async () => {
    const driver = await registry.load('redis')
    const variables = {
      REDIS_URL: 'rediss://u:p@host:1/2',
      REDIS_PRIMARY: 'primary:6379',
      REDIS_REPLICAS: 'a:1, b:2',
    }
    const env = new Env(variables)
    expect(driver.fromEnv(env)).toMatchObject({
      url: 'rediss://u:p@primary:6379/2',
      replicas: ['a:1', 'b:2'],
    })
    expect(env.problems).toEqual([])
    expect(driver.fromEnv(new Env({ REDIS_SENTINELS: '[::1]:26379' }))).toMatchObject({
      sentinels: ['[::1]:26379'],
    })
    expect((await problemsOf({ CACHE_DRIVER: 'redis', REDIS_PRIMARY: 'a:1,b:2' })).message).toMatch(
      /REDIS_PRIMARY=a:1,b:2: is not a single address/,
    )
    const error = await problemsOf({
      CACHE_DRIVER: 'redis',
      REDIS_REPLICAS: 'a:1,b',
      REDIS_PRIMARY: 'x',
    })
    expect(variablesOf(error)).toEqual(['REDIS_PRIMARY', 'REDIS_REPLICAS'])
  })

  test('reads the nodes of sessions from variables with the prefix SESSION_', async () => {
    const driver = await registry.load('memcached')
    const variables = {
      MEMCACHED_SERVERS: 'a:11211,b:11211',
      MEMCACHED_TLS: 'true',
      SESSION_MEMCACHED_SERVERS: 'c:11211',
      SESSION_MEMCACHED_TLS: 'false',
    }
    expect(driver.fromEnv(new Env(variables, 'cache'))).toMatchObject({
      servers: ['a:11211', 'b:11211'],
      tls: true,
    })
    expect(driver.fromEnv(new Env(variables, 'session'))).toMatchObject({
      servers: ['c:11211'],
      tls: false,
    })
    const both = await cachesFromEnv({ CACHE_DRIVER: 'memcached', ...variables }, registry)
    expect([both.use('cache').driver, both.use('session').driver]).toEqual([
      'memcached',
      'memcached',
    ])
    await both.close()
  })

  test('treats an empty variable as not set', async () => {
    const caches = await cachesFromEnv(
      { CACHE_DRIVER: '', CACHE_TTL: ' ', CACHE_PREFIX: '' },
      registry,
    )
    expect(caches.use().driver).toBe('memory')
  })

  test('CACHE_STORE selects a store of the application by name', async () => {
    const stores = { hot: () => memory({ values: 'shared' as const }) }
    const caches = await cachesFromEnv({ CACHE_STORE: 'hot' }, registry, { stores })
    expect(caches.use('cache').storesByReference).toBe(true)
    expect(caches.use('session').storesByReference).toBe(true)
    const error = await problemsOf({ SESSION_STORE: 'cold' }, { stores })
    expect(error.message).toMatch(/SESSION_STORE=cold: .*Defined: hot/)
  })
})

describe('problems', () => {
  test('are reported together, each with variable, value and remedy', async () => {
    const error = await problemsOf({
      CACHE_DRIVER: 'rediss',
      SESSION_DRIVER: 'redis',
      REDIS_URL: 'banana',
      CACHE_TTL: 'soon',
      SESSION_LIFETIME: '600',
    })
    expect(error.code).toBe('ERR_CACHE_CONFIG')
    expect(variablesOf(error)).toEqual([
      'CACHE_DRIVER',
      'CACHE_TTL',
      'REDIS_URL',
      'SESSION_LIFETIME',
    ])
    expect(error.message).toMatch(
      /CACHE_DRIVER=rediss: .*Did you mean redis\? Known drivers: memory, redis, memcached/,
    )
    expect(error.message).toMatch(/REDIS_URL=banana: .*redis:\/\/user:password@host:6379\/0/)
    expect(error.message).toMatch(/CACHE_TTL=soon: .*10m/)
    expect(error.message).toMatch(/SESSION_LIFETIME=600: .*unit/)
  })

  test('contain sizes that no option accepts', async () => {
    const huge = '99999999999GiB'
    const error = await problemsOf({ MEMORY_MAX_BYTES: huge, CACHE_NEAR_BYTES: huge })
    expect(variablesOf(error)).toEqual(['CACHE_NEAR_BYTES', 'MEMORY_MAX_BYTES'])
  })

  test('name the variable that was read: the one of the role takes precedence', async () => {
    const good = 'redis://127.0.0.1:6379'
    const error = await problemsOf({
      CACHE_DRIVER: 'redis',
      REDIS_URL: good,
      SESSION_REDIS_URL: 'x',
    })
    expect(variablesOf(error)).toEqual(['SESSION_REDIS_URL'])
  })

  test('that both roles share are reported once', async () => {
    const error = await problemsOf({ CACHE_DRIVER: 'redis', REDIS_URL: 'banana' })
    expect(variablesOf(error)).toEqual(['REDIS_URL'])
  })

  test('include a store and a driver for the same role', async () => {
    const stores = { hot: () => memory() }
    const error = await problemsOf({ CACHE_STORE: 'hot', CACHE_DRIVER: 'memory' }, { stores })
    expect(error.message).toMatch(/CACHE_STORE=hot: is set together with CACHE_DRIVER/)
  })

  test('include those of the application', async () => {
    const problems = [{ variable: 'PORT', value: 'x', remedy: 'is not a port.' }]
    const error = await problemsOf({ CACHE_TTL: 'soon' }, { problems })
    expect(variablesOf(error)).toEqual(['CACHE_TTL', 'PORT'])
  })

  test('include overlapping prefixes in the same store of the application, but not in two stores', async () => {
    const stores = { a: () => memory(), b: () => memory() }
    const prefixes = { CACHE_PREFIX: 'app:', SESSION_PREFIX: 'app:' }
    const error = await problemsOf({ CACHE_STORE: 'a', ...prefixes }, { stores })
    expect(variablesOf(error)).toEqual(['SESSION_PREFIX'])
    await cachesFromEnv({ CACHE_STORE: 'a', SESSION_STORE: 'b', ...prefixes }, registry, { stores })
  })

  test('include overlapping prefixes if the roles differ only in their consistency', async () => {
    const prefixes = { CACHE_PREFIX: 'app:', SESSION_PREFIX: 'app:' }
    const variables = { CACHE_DRIVER: 'redis', SESSION_REDIS_CONSISTENCY: 'strong', ...prefixes }
    expect(variablesOf(await problemsOf(variables))).toEqual(['SESSION_PREFIX'])
  })

  test('do not include overlapping prefixes on different servers', async () => {
    const urls = { CACHE_REDIS_URL: 'redis://a', SESSION_REDIS_URL: 'redis://b' }
    const prefixes = { CACHE_PREFIX: 'app:', SESSION_PREFIX: 'app:' }
    await cachesFromEnv({ CACHE_DRIVER: 'redis', ...urls, ...prefixes }, registry)
  })

  test('include nodes set together with a configuration endpoint, and a password without a user', async () => {
    const error = await problemsOf({
      CACHE_DRIVER: 'memcached',
      MEMCACHED_SERVERS: 'a:11211',
      MEMCACHED_CONFIGURATION_ENDPOINT: 'my.cfg.cache.test:11211',
      MEMCACHED_PASSWORD: 'hunter2',
    })
    expect(variablesOf(error)).toEqual(['MEMCACHED_CONFIGURATION_ENDPOINT', 'MEMCACHED_USERNAME'])
    expect(error.message).not.toContain('hunter2')
  })

  test('include overlapping prefixes on the same nodes, but not on different nodes', async () => {
    const variables = { CACHE_DRIVER: 'memcached', CACHE_PREFIX: 'app:', SESSION_PREFIX: 'app:' }
    expect(variablesOf(await problemsOf(variables))).toEqual(['SESSION_PREFIX'])
    const apart = { ...variables, SESSION_MEMCACHED_SERVERS: 'sessions:11211' }
    await (await cachesFromEnv(apart, registry)).close()
  })

  test('include a prefix that starts with the prefix of the other role, unless the drivers differ', async () => {
    const error = await problemsOf({ CACHE_PREFIX: 'shop:', SESSION_PREFIX: 'shop:sessions:' })
    expect(error.message).toMatch(/SESSION_PREFIX=shop:sessions:: .*overlap/)
    await cachesFromEnv(
      { SESSION_DRIVER: 'redis', CACHE_PREFIX: 'a', SESSION_PREFIX: 'a' },
      registry,
    )
  })

  test.each([
    'redis://:hunter2@',
    'http://user:hunter2@host',
    'user:hunter2@host:6379',
    'redis://h/0?password=hunter2',
    'redis://u:hunter2#@host',
    'redis://u:hunter2',
    'u:hunter2',
    'redis://:hunter2/abc',
  ])('never contain a secret: %s', async (url) => {
    const error = await problemsOf({ CACHE_DRIVER: 'redis', REDIS_URL: url })
    expect(`${error.message}${JSON.stringify(error)}${String(error.stack)}`).not.toContain(
      'hunter2',
    )
  })

  test.each(['CACHE_DRVER', 'CACHE_DRIVER', 'CACHE_STORE', 'CACHE_COMPRESS_FROM'])(
    'never contain a password of a URL in %s',
    async (name) => {
      for (const url of ['redis://:hunter2@h', 'redis://u:hunter2', 'u:hunter2@h']) {
        const error = await problemsOf({ [name]: url })
        expect(variablesOf(error)).toEqual([name])
        expect(`${error.message}${JSON.stringify(error)}`).not.toContain('hunter2')
      }
    },
  )

  test('mask the whole value if the name of the variable suggests a secret', () => {
    for (const name of ['REDIS_PASSWORD', 'REDIS_PASS', 'APP_ENCRYPTION_KEY', 'AUTH_TOKEN']) {
      expect(maskSecrets(name, 'abc')).toBe('***')
    }
    expect(maskSecrets('REDIS_URL', 'rediss://user:p@ss:word@host:1/0')).toBe(
      'rediss://***@host:1/0',
    )
    expect(maskSecrets('CACHE_TTL', 'soon')).toBe('soon')
  })

  test('include a driver package that is not installed, with the command that installs it', async () => {
    const broken = new DriverRegistry({
      sqlite: () => import('no-such-package' as string) as never,
    })
    const error = await cachesFromEnv({ CACHE_DRIVER: 'sqlite' }, broken).catch((e: unknown) => e)
    expect((error as ConfigError).message).toMatch(
      /CACHE_DRIVER=sqlite: .*npm install no-such-package/,
    )
  })
})

describe('DriverRegistry', () => {
  test('registers a custom driver by name', async () => {
    const custom = new DriverRegistry().register('custom', () => import('@stowage/memory'))
    const caches = await cachesFromEnv({ CACHE_DRIVER: 'custom' }, custom)
    expect(caches.use().driver).toBe('memory')
  })

  test('imports only the selected drivers', async () => {
    let imported = false
    const lazy = new DriverRegistry({
      memory: () => import('@stowage/memory'),
      redis: () => {
        imported = true
        return import('@stowage/redis')
      },
    })
    await cachesFromEnv({}, lazy)
    expect(imported).toBe(false)
  })

  test('reports an unknown name with a suggestion', async () => {
    const error = await registry.load('memory2').catch((e: unknown) => e)
    expect(CacheError.is(error) && error.message).toMatch(/Did you mean memory\?/)
  })
})

test('CACHE_GENERATIONS=off makes storage keys that other programs can read', async () => {
  const store = new ReferenceStore({ scan: false })
  const stores = { shared: () => store }
  const variables = { CACHE_STORE: 'shared', SESSION_DRIVER: 'memory', CACHE_GENERATIONS: 'off' }
  const caches = await cachesFromEnv(variables, registry, { stores })
  await caches.use().set('a', 1)
  expect([...store.items.keys()]).toEqual(['cache:a'])
  await caches.close()
})

describe('variables that are not read', () => {
  async function warningOf(variables: Variables): Promise<Error | undefined> {
    let warning: Error | undefined
    const listener = (emitted: Error) => {
      warning = emitted
    }
    process.on('warning', listener)
    try {
      await (await cachesFromEnv(variables, registry)).close()
      // Node emits a warning in a tick of its own.
      await new Promise((resolve) => setImmediate(resolve))
    } finally {
      process.off('warning', listener)
    }
    return warning
  }

  test.each(['CACHE_DRVER', 'CACHE_DRIVR', 'SESION_DRIVER', 'CACHE_STOR'])(
    'are an error if the default driver would be used instead of that of %s',
    async (name) => {
      const error = await problemsOf({ [name]: 'redis' })
      expect(variablesOf(error)).toEqual([name])
      expect(error.message).toMatch(/Did you mean (CACHE|SESSION)_(DRIVER|STORE)\?/)
    },
  )

  test('are a warning if the backend is selected by another variable', async () => {
    const selected = { CACHE_DRIVER: 'memory', SESSION_DRIVER: 'memory' }
    const similar = { CACHE_SCOPE: 'x', CACHE_STORAGE: '/var/x', SESSION_STATE: '1' }
    const warning = await warningOf({ ...selected, ...similar })
    for (const name of Object.keys(similar)) expect(warning?.message).toContain(name)
    const error = await problemsOf({ ...similar, CACHE_DRIVER: 'memory' })
    expect(variablesOf(error)).toEqual(['SESSION_STATE'])
  })

  test('are named in one warning, without their values', async () => {
    const warning = await warningOf({
      CACHE_DRIVER: 'redis',
      CACHE_DRVER: 'secret',
      SESION_PREFIX: 'secret',
      REDIS_ULR: 'secret',
      REDIS_PASSWORD: 'secret',
    })
    expect(warning).toMatchObject({ code: 'STOWAGE_UNREAD_VARIABLES' })
    for (const [name, replacement] of [
      ['CACHE_DRVER', 'CACHE_DRIVER'],
      ['SESION_PREFIX', 'SESSION_PREFIX'],
      ['REDIS_ULR', 'REDIS_URL'],
      ['REDIS_PASSWORD', 'REDIS_URL'],
    ])
      expect(warning?.message).toMatch(new RegExp(`${name} \\([^)]*${replacement}`))
    expect(warning?.message).not.toContain('secret')
  })

  test('are not mentioned if they are not similar, belong to another driver, or are replaced', async () => {
    const warning = await warningOf({
      PATH: '/bin',
      HOME: '/root',
      CACHE_DIR: '/tmp',
      SESSION_SECRET: 's',
      XDG_SESSION_TYPE: 'tty',
      MEMCACHED_HOST: 'a',
      CACHE_DRIVER: 'redis',
      REDIS_URL: 'redis://a:1',
      REDIS_HOST: 'a',
    })
    expect(warning).toBeUndefined()
  })

  test('name the driver that CACHE_STORE was meant to select, as in Laravel', async () => {
    const error = await problemsOf({ CACHE_STORE: 'redis' })
    expect(error.message).toContain('use CACHE_DRIVER')
  })
})

describe('CACHE_FAILOVER', () => {
  test('puts stores behind that of the cache, and not behind that of the sessions', async () => {
    const unreachable = { CACHE_DRIVER: 'redis', REDIS_URL: 'redis://127.0.0.1:1' }
    const caches = await cachesFromEnv({ ...unreachable, CACHE_FAILOVER: 'memory' }, registry)
    await caches.use('cache').set('k', 1)
    expect(await caches.use('cache').get('k')).toBe(1)
    await expect(caches.use('session').set('k', 1)).rejects.toMatchObject({
      code: 'ERR_CACHE_UNAVAILABLE',
    })
    await caches.close()
  })

  test('reads the options of the further stores with the prefix FAILOVER_', async () => {
    const variables = { CACHE_DRIVER: 'redis', CACHE_FAILOVER: 'redis,memory' }
    const error = await problemsOf(variables)
    expect(variablesOf(error)).toEqual(['CACHE_FAILOVER'])
    const own = { ...variables, FAILOVER_REDIS_URL: 'redis://127.0.0.1:2' }
    const caches = await cachesFromEnv(own, registry)
    await caches.close()
    const invalid = await problemsOf({ ...variables, FAILOVER_REDIS_URL: 'x' })
    expect(variablesOf(invalid)).toContain('FAILOVER_REDIS_URL')
  })

  test('reports unknown drivers, and a failover of sessions', async () => {
    const error = await problemsOf({
      CACHE_DRIVER: 'redis',
      CACHE_FAILOVER: 'memry',
      SESSION_FAILOVER: 'memory',
    })
    expect(variablesOf(error)).toEqual(['CACHE_FAILOVER', 'SESSION_FAILOVER'])
    expect(error.message).toMatch(/Did you mean memory\?/)
  })
})

describe('audits', () => {
  test.each(['0.5', '1/2'])(
    'CACHE_AUDIT_SAMPLE=%s audits the cache, not the sessions',
    async (text) => {
      const caches = await cachesFromEnv({ CACHE_AUDIT_SAMPLE: text }, registry)
      expect(caches.use('cache').audit?.report().sampled).toBe(0)
      expect(caches.use('session').audit).toBeUndefined()
      await caches.close()
    },
  )

  test.each(['1/0', '2', '-1', '1%', '1/2/3', '.'])(
    'CACHE_AUDIT_SAMPLE=%s is refused',
    async (text) => {
      expect(variablesOf(await problemsOf({ CACHE_AUDIT_SAMPLE: text }))).toEqual([
        'CACHE_AUDIT_SAMPLE',
      ])
    },
  )
})

describe('near caches', () => {
  test('CACHE_NEAR_BYTES adds one to the cache, and not to the sessions', async () => {
    const variables = { CACHE_NEAR_BYTES: '10KB', CACHE_NEAR_TTL: '5s' }
    const caches = await cachesFromEnv(variables, registry)
    expect(caches.use('cache').near?.stats).toMatchObject({ entries: 0, serving: true })
    expect(caches.use('session').near).toBeUndefined()
    await caches.close()
  })

  test.each(['redis', 'redis-tracking'])(
    'CACHE_BUS=%s does not connect before it is used',
    async (bus) => {
      const variables = { CACHE_NEAR_BYTES: '1', CACHE_BUS: bus, REDIS_URL: 'redis://127.0.0.1:1' }
      const caches = await cachesFromEnv(variables, registry)
      expect(caches.use('cache').near?.stats.serving).toBe(false)
      await caches.close()
    },
  )

  test('reports invalid variables', async () => {
    const unused = { CACHE_NEAR_TTL: '5s', CACHE_BUS: 'redis' }
    expect((await problemsOf(unused)).message).toContain(
      'CACHE_NEAR_TTL=5s: has no effect without CACHE_NEAR_BYTES. Set both, or remove it.',
    )
    expect(variablesOf(await problemsOf(unused))).toEqual(['CACHE_BUS', 'CACHE_NEAR_TTL'])
    const variables = { CACHE_NEAR_BYTES: 'plenty', CACHE_NEAR_TTL: 'soon' }
    expect(variablesOf(await problemsOf(variables))).toEqual(['CACHE_NEAR_BYTES', 'CACHE_NEAR_TTL'])
    for (const bus of ['memcached', 'redis-streams', 'redis-tracking-all', 'nats']) {
      const error = await problemsOf({ CACHE_NEAR_BYTES: '1MB', CACHE_BUS: bus })
      expect(variablesOf(error)).toEqual(['CACHE_BUS'])
    }
    const cluster = { REDIS_CLUSTER_NODES: '127.0.0.1:1', CACHE_BUS: 'redis-tracking' }
    const error = await problemsOf({ CACHE_NEAR_BYTES: '1MB', ...cluster })
    expect(error.message).toContain('clusterNodes is not supported by redisTracking')
  })

  test('names the package of a bus that is not installed', async () => {
    const loadMissing = () => import('@stowage/not-installed' as string)
    const registry = new DriverRegistry({
      memory: async () => import('@stowage/memory'),
      redis: loadMissing,
    })
    const variables = { CACHE_NEAR_BYTES: '1MB', CACHE_BUS: 'redis' }
    const error = await cachesFromEnv(variables, registry).catch((thrown: unknown) => thrown)
    expect((error as Error).message).toMatch(/CACHE_BUS=redis: .*"redis" cannot be loaded: /)
  })
})
