import { Env } from '@stowage/core/driver'
import driver, { type MemcachedOptions, memcached } from '@stowage/memcached'
import { startMemcached } from '@stowage/test-servers'
import { expect, test } from 'vitest'
import { checkServer } from '../src/connection/memjs.ts'
import { hasIPv6 } from './ipv6.ts'

const configError = { code: 'ERR_CACHE_CONFIG' }

function optionsFrom(variables: Record<string, string>, role?: string) {
  const env = new Env(variables, role)
  return { options: driver.fromEnv(env) as MemcachedOptions, problems: env.problems }
}

test('reads the options from the environment', () => {
  const { options, problems } = optionsFrom({
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
  const { pollInterval, onNodeDown, oversize } = optionsFrom({
    MEMCACHED_POLL_INTERVAL: '10s',
    MEMCACHED_ON_NODE_DOWN: 'miss',
    MEMCACHED_OVERSIZE: 'chunk',
  }).options
  expect([pollInterval, onNodeDown, oversize]).toEqual([10_000, 'miss', 'chunk'])
  expect(
    optionsFrom({
      MEMCACHED_CONFIGURATION_ENDPOINT: 'my.cfg.cache.test:11211',
      MEMCACHED_IGNORE_CLUSTER_ERRORS: 'true',
    }).options,
  ).toMatchObject({ configurationEndpoint: 'my.cfg.cache.test:11211', ignoreClusterErrors: true })
})

test('addresses of a role take precedence over addresses of all roles', () => {
  const session = (variables: Record<string, string>) => optionsFrom(variables, 'session')
  expect(
    session({ MEMCACHED_SERVERS: 'a', SESSION_MEMCACHED_CONFIGURATION_ENDPOINT: 'b' }),
  ).toMatchObject({ options: { configurationEndpoint: 'b' }, problems: [] })
  expect(
    session({ MEMCACHED_CONFIGURATION_ENDPOINT: 'b', SESSION_MEMCACHED_SERVERS: 'a' }),
  ).toMatchObject({ options: { servers: ['a'] }, problems: [] })
})

test('refuses to hide nodes that are down from sessions', () => {
  const session = (variables: Record<string, string>) => optionsFrom(variables, 'session')
  const shared = session({ MEMCACHED_ON_NODE_DOWN: 'miss' })
  expect(shared.problems).toMatchObject([
    { variable: 'MEMCACHED_ON_NODE_DOWN', remedy: expect.stringContaining('Set CACHE_MEMCACHED') },
  ])
  expect(shared.options.onNodeDown).toBeUndefined()
  const own = session({ SESSION_MEMCACHED_ON_NODE_DOWN: 'failover' })
  expect(own.problems).toMatchObject([{ variable: 'SESSION_MEMCACHED_ON_NODE_DOWN' }])
  expect(session({ MEMCACHED_ON_NODE_DOWN: 'error' }).problems).toEqual([])
  expect(session({ CACHE_MEMCACHED_ON_NODE_DOWN: 'miss' }).problems).toEqual([])
})

test('reports all problems of the environment at once, without secrets', () => {
  const { problems } = optionsFrom({
    MEMCACHED_POLL_INTERVAL: '30d',
    MEMCACHED_SERVERS: 'a:99999',
    MEMCACHED_PASSWORD: 'secret',
    MEMCACHED_TLS: 'constructor',
    MEMCACHED_HASHING: 'rendezvous',
  })
  expect(problems.map(({ variable }) => variable)).toEqual([
    'MEMCACHED_SERVERS',
    'MEMCACHED_USERNAME',
    'MEMCACHED_POLL_INTERVAL',
    'MEMCACHED_TLS',
    'MEMCACHED_HASHING',
  ])
  expect(JSON.stringify(problems)).not.toContain('secret')
  const conflict = { MEMCACHED_SERVERS: 'a', MEMCACHED_CONFIGURATION_ENDPOINT: 'b' }
  expect(optionsFrom(conflict).problems).toHaveLength(1)
})

test('rejects invalid options', () => {
  const invalid: Parameters<typeof memcached>[0][] = [
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
    { tls: { cert: 'not a certificate' } },
  ]
  for (const options of invalid) {
    expect(() => memcached(options), JSON.stringify(options)).toThrow(
      expect.objectContaining(configError),
    )
  }
})

test('rejects credentials in an address without repeating them', () => {
  const address = 'app:s3cret@cache.test:11211'
  for (const options of [{ servers: [address] }, { configurationEndpoint: address }]) {
    const creation = expect(() => memcached(options))
    creation.toThrow(expect.objectContaining(configError))
    creation.not.toThrow(/s3cret/)
  }
  const { problems } = optionsFrom({ MEMCACHED_SERVERS: address })
  expect(JSON.stringify(problems)).not.toContain('s3cret')
})

test('rejects a memjs that lacks a required method, with a remedy', () => {
  class OtherServer {
    sock() {}
    write() {}
  }
  expect(() => checkServer(OtherServer)).toThrow(
    expect.objectContaining({
      ...configError,
      message: expect.stringMatching(/saslAuth.*Install memjs/),
    }),
  )
  expect(() => checkServer(undefined as never)).toThrow(expect.objectContaining(configError))
})

test.runIf(hasIPv6)('connects to an IPv6 address', async () => {
  const server = await startMemcached({ args: ['-l', '::1'] })
  const store = memcached({
    servers: [`[::1]:${server.port}`],
    timeout: '5s',
    connectTimeout: '5s',
  })
  try {
    await store.set('k', 'v')
    expect(String(await store.get('k'))).toBe('v')
    expect(store.nodes()).toMatchObject([{ host: '::1', state: 'up' }])
  } finally {
    await store.close()
    await server.stop()
  }
})

test('rejects servers as text', () => {
  expect(() => memcached({ servers: '127.0.0.1:11211' as never })).toThrow(
    "servers must be an array of addresses, such as ['127.0.0.1:11211']",
  )
})

test('rejects an unknown option with the name of the most similar one', () => {
  const options = { server: ['127.0.0.1'] } as object
  expect(() => memcached(options)).toThrow(
    new TypeError('memcached: unknown option server. Did you mean servers?'),
  )
})
