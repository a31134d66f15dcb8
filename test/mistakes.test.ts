// Mistakes that are usual with a cache, in JavaScript or with a cast. Each error names the cause and the remedy, and its
// stack the place in the application.
import { rateLimitStore } from '@stowage/bridges/express-rate-limit'
import { keyvStore } from '@stowage/bridges/keyv'
import { Cache, cachesFromEnv, createCaches, DriverRegistry, encrypted, json } from '@stowage/core'
import { standardDrivers } from '@stowage/drivers'
import { dynamodb } from '@stowage/dynamodb'
import { SessionStore } from '@stowage/express'
import { limit } from '@stowage/express/limit'
import { cached, responseCache } from '@stowage/http-cache'
import { lmdb } from '@stowage/lmdb'
import { memcached } from '@stowage/memcached'
import { memory } from '@stowage/memory'
import { redis, redisBus } from '@stowage/redis'
import { migrating, Sessions, session, sessionFromEnv } from '@stowage/sessions'
import { metrics } from '@stowage/telemetry/prometheus'
import { expect, test } from 'vitest'

const cache = new Cache(memory())
const drivers = standardDrivers()
const secret = 'a secret of at least 32 characters'

// biome-ignore lint/suspicious/noExplicitAny: the mistakes are those that types would detect.
const js = (value: unknown): any => value
const AnyCache = js(Cache)
const any = js(cache)

type Mistake = readonly [run: () => unknown, cause: string, remedy: string]

const mistakes: Readonly<Record<string, Mistake>> = {
  // Create a cache
  'a driver that is not called': [
    () => new AnyCache(memory),
    'the first argument must be a store',
    'Call the driver: memory().',
  ],
  'a cache in place of the store': [
    () => new AnyCache(cache, { prefix: 'app:' }),
    'the first argument must be a store',
    "For a part of a cache, call cache.namespace('app').",
  ],
  'options in place of the store': [
    () => new AnyCache({ prefix: 'app:' }),
    'the first argument must be a store',
    'such as memory()',
  ],
  'a misspelt option': [
    () => new AnyCache(memory(), { prefx: 'a:' }),
    'unknown option prefx',
    'Did you mean prefix?',
  ],
  'a codec that is not called': [
    () => new AnyCache(memory(), { codec: json }),
    'the option codec must be a codec',
    'such as json()',
  ],
  'a store in place of a bus': [
    () => new AnyCache(memory(), { near: { bus: memory() } }),
    'near: bus must be an invalidation bus',
    'such as redisBus({ url })',
  ],
  'a bus that is not created': [
    () => new AnyCache(memory(), { bus: () => redisBus() }),
    'Cache: bus must be an invalidation bus',
    'such as redisBus({ url })',
  ],
  'a negative default ttl': [
    () => new Cache(memory(), { ttl: -1 }),
    'The default ttl -1 is not positive.',
    'Use null',
  ],
  'a store that is not created by a function': [
    () => createCaches(js({ default: 'a', stores: { a: memory() } })),
    'the store of "a" must be a function',
    '() => memory()',
  ],
  'no default of several caches': [
    () => createCaches(js({ stores: { pages: () => memory() } })),
    'the option default is missing',
    'the name of a store: pages',
  ],
  'a misspelt name of a cache': [
    () => createCaches({ default: 'pages', stores: { pages: () => memory() } }).use(js('page')),
    'No cache is named "page".',
    'Did you mean pages?',
  ],
  'encryption without keys': [
    () => encrypted(json(), js(undefined)),
    'the options must be an object',
    'such as encrypted(json(), { keys:',
  ],
  'a password as a key of encryption': [
    () => encrypted(json(), { keys: ['password'] }),
    'not of the form id:base64',
    'openssl rand -base64 32',
  ],
  // Drivers
  'host and port of Redis': [
    () => redis(js({ host: 'localhost', port: 6379 })),
    'the address is the option url',
    "redis({ url: 'redis://host:port' })",
  ],
  'an address of Redis without its scheme': [
    () => redis({ url: 'localhost:6379' }),
    'not a redis:// or rediss:// URL',
    'Use a URL like redis://user:password@host:6379/0',
  ],
  'a prefix as an option of the driver': [
    () => redis(js({ url: 'redis://localhost', prefix: 'sess:' })),
    'redis: unknown option prefix.',
    "It is an option of the cache: new Cache(store, { prefix: 'app:' }).",
  ],
  'the prefix of ioredis': [
    () => redis(js({ url: 'redis://localhost', keyPrefix: 'app:' })),
    'redis: unknown option keyPrefix.',
    "It is an option of the cache: new Cache(store, { prefix: 'app:' }).",
  ],
  'a prefix of sessions': [
    () => new SessionStore(js({ cache, prefix: 'sess:' })),
    'unknown option prefix.',
    "It is an option of the cache: new Cache(store, { prefix: 'app:' }).",
  ],
  'the URL of memcached': [
    () => memcached(js({ url: 'localhost:11211' })),
    'unknown option url',
    "memcached({ servers: ['host:port'] })",
  ],
  'one address of memcached that is not in a list': [
    () => memcached(js({ servers: 'localhost:11211' })),
    'servers must be an array',
    "such as ['127.0.0.1:11211']",
  ],
  'the table of DynamoDB as the SDK names it': [
    () => dynamodb(js({ TableName: 'cache' })),
    'unknown option TableName',
    "dynamodb({ table: 'cache' })",
  ],
  'a path in place of the options of LMDB': [
    () => lmdb(js('./data')),
    'the options must be an object',
    "lmdb({ path: '.cache' })",
  ],
  'a size with an unknown unit': [
    () => memory({ maxBytes: js('64 megabytes') }),
    'maxBytes must be a number of bytes',
    "'64MiB'",
  ],
  'a header instead of a list of headers': [
    () => responseCache({ cache, varyBy: js('accept-language') }),
    'varyBy must be a function, or an array of names',
    "['accept-language', 'cookie:currency']",
  ],
  'a wrong sameSite': [
    () => session({ secret, store: new Sessions({ cache }), cookie: { sameSite: js('Laxx') } }),
    'sameSite or priority of the cookie is invalid',
    'sameSite is lax, strict, none or a boolean',
  ],
  'a store for a bridge': [
    () => keyvStore(js(memory())),
    'the first argument must be a Cache',
    'new Cache(memory())',
  ],
  'a rate limiter without a name': [
    () => rateLimitStore(cache, js(undefined)),
    'pass the name of the limiter',
    "rateLimitStore(cache, 'api')",
  ],
  'a list of caches for metrics': [
    () => metrics({ caches: js([cache]) }),
    'caches must be a function',
    "() => [caches.use('cache')]",
  ],
  // The environment
  'a misspelt driver': [
    () => cachesFromEnv({ CACHE_DRIVER: 'reddis' }, drivers),
    'CACHE_DRIVER=reddis: is not a known driver.',
    'Did you mean redis?',
  ],
  'no driver, with a registry without memory': [
    () => cachesFromEnv({}, new DriverRegistry({ redis: () => import('@stowage/redis') })),
    'CACHE_DRIVER: is not set, and its default memory is not registered.',
    'Known drivers: redis.',
  ],
  'a misspelt variable': [
    () => cachesFromEnv({ CACHE_DRVER: 'redis' }, drivers),
    'CACHE_DRVER=redis: is not read.',
    'Did you mean CACHE_DRIVER?',
  ],
  'a ttl without its unit': [
    () => cachesFromEnv({ CACHE_TTL: '60' }, drivers),
    'CACHE_TTL=60: is not a duration.',
    'with a unit (ms, s, m, h, d, w), such as 10m',
  ],
  'a driver that is not installed': [
    () => {
      // @ts-expect-error: there is no such package.
      const missing = new DriverRegistry({ tape: () => import('@stowage/tape') })
      return cachesFromEnv({ CACHE_DRIVER: 'tape' }, missing)
    },
    'The driver "tape" cannot be loaded: Cannot find package \'@stowage/tape\'',
    'npm install @stowage/tape',
  ],
  'no registry': [
    () => cachesFromEnv({}, js(undefined)),
    'The second argument must be a DriverRegistry',
    'standardDrivers() of @stowage/drivers',
  ],
  // Calls
  'a ttl that is not in an object': [
    () => any.set('a', 1, 60),
    'The options of a write must be an object',
    "such as { ttl: '5m' }",
  ],
  'the ttl of a client of Redis': [
    () => any.set('a', 1, { EX: 60 }),
    'unknown option EX',
    'Known options: ttl, tags.',
  ],
  'a ttl in words': [
    () => any.set('a', 1, { ttl: '10 minutes' }),
    "ttl is not a duration: '10 minutes'",
    "'10m'",
  ],
  'a default value': [
    () => any.get('a', 'nobody'),
    'The options of a read must be an object',
    '(await cache.get(key)) ?? value',
  ],
  'a key that is undefined': [
    () => any.get(undefined),
    'A cache key must be a non-empty string.',
    'must be a non-empty string',
  ],
  'a list of keys for delete': [
    () => any.delete(['a', 'b']),
    'A cache key must be a non-empty string.',
    'For several keys, use getMany, setMany or deleteMany.',
  ],
  'undefined as a value': [
    () => cache.set('a', undefined),
    'it means a miss',
    'Store null instead.',
  ],
  'a value that was not awaited': [
    () => cache.set('user', { profile: Promise.resolve(1) }),
    'a Promise has no JSON representation (at profile)',
    'Await it first.',
  ],
  'a Map within a value': [
    () => cache.set('user', { roles: [new Map()] }),
    'a Map has no JSON representation (at roles[0])',
    'Use structured().',
  ],
  'a BigInt within a value': [
    () => cache.set('user', { id: 1n }),
    'a BigInt has no JSON representation (at id)',
    'Use structured().',
  ],
  'a loader in place of the options': [
    () => any.remember('a', () => 1),
    'the third argument must be the function that loads the value',
    "remember(key, { ttl: '5m' }, load)",
  ],
  'a ttl in place of the options of remember': [
    () => any.remember('a', 600, () => 1),
    'remember: the options must be an object',
    "such as remember(key, { ttl: '5m' }, load), not a number",
  ],
  'the name that another library has for the ttl': [
    () => any.remember('a', { maxAge: 600 }, () => 1),
    'remember: unknown option maxAge.',
    "Write remember(key, { ttl: '5m' }, load).",
  ],
  'the ttl of a lock that is not in an object': [
    () => any.lock('a', 10),
    'lock: the options must be an object',
    "such as lock(name, { ttl: '30s' }).run(work, { wait: '5s' }), not a number",
  ],
  'a wait among the options of a lock': [
    () => any.lock('a', { wait: '5s' }),
    'lock: unknown option wait.',
    "Write lock(name, { ttl: '30s' }).run(work, { wait: '5s' }).",
  ],
  'the options of a wait in front of the work': [
    () =>
      cache.lock('a').run(
        js({ wait: '5s' }),
        js(() => 1),
      ),
    'A function is missing',
    "lock.run(async (held) => …, { wait: '5s' })",
  ],
  'work in place of the options of a wait': [
    () =>
      cache.lock('a').block(
        '5s',
        js(() => 1),
      ),
    'lock.block: the options must be an object',
    "such as lock.run(work, { wait: '5s' }), not a function",
  ],
  'a wait that is not in an object': [
    () => cache.lock('a').run(() => 1, js('5s')),
    'lock.run: the options must be an object',
    "such as lock.run(work, { wait: '5s' }), not a string",
  ],
  'a wait for a limit that is not in an object': [
    () => cache.concurrency('exports', { limit: 2 }).run(() => 1, js('5s')),
    'limit.run: the options must be an object',
    "such as limit.run(work, { wait: '5s' }), not a string",
  ],
  'a rate that is not in an object': [
    () => any.rateLimit('login', 5, '1m'),
    'rateLimit: the options must be an object',
    "such as rateLimit(name, { limit: 5, window: '1m' }), not a number",
  ],
  'a number of calls that is not in an object': [
    () => any.concurrency('exports', 2),
    'concurrency: the options must be an object',
    'such as concurrency(name, { limit: 2 }), not a number',
  ],
  'a tag that is not in a list': [
    () => any.set('a', 1, { tags: 'products' }),
    'Tags must be an array',
    "such as ['products']",
  ],
  'a fraction for a counter': [
    () => cache.increment('n', 0.5),
    'not 0.5',
    'the number to add must be a whole number',
  ],
  'a limit without a window': [
    () => any.rateLimit('login', { limit: 5 }),
    'window is not a duration: undefined',
    "'10m'",
  ],
  'a cache that was closed': [
    async () => {
      const closed = new Cache(memory())
      await closed.close()
      return await closed.get('a')
    },
    'close() was called.',
    'Create caches once per process, and close them last.',
  ],
  'keys on memcached': [
    async () => await new Cache(memcached({ servers: ['127.0.0.1:1'] })).keys().next(),
    'memcached keys failed: the backend cannot list its keys.',
    'Give entries tags',
  ],
  // Sessions and HTTP
  'a cache in place of the options of Sessions': [
    () => new Sessions(js(cache)),
    'the option cache must be a Cache',
    "{ cache: caches.use('session') }",
  ],
  'the ttl of sessions': [
    () => new Sessions(js({ cache, ttl: '1d' })),
    'unknown option ttl',
    "new Sessions({ cache, idleTimeout: '1d' })",
  ],
  'an index without its secret': [
    () => new Sessions({ cache, index: () => 'ada' }),
    'with index, indexSecret must be a text',
    'of at least 16 characters',
  ],
  'a store that sessions are moved from': [
    () => new Sessions({ cache, migrateFrom: { cache: js(memory()), until: new Date() } }),
    'migrateFrom.cache must be a Cache',
    "such as new Cache(store, { prefix: 'sess:' })",
  ],
  'a misspelt option of the sessions until now': [
    () => migrating({ from: js({ cache, key: 'ids' }), to: { cache }, until: new Date() }),
    'migrateFrom: unknown option key',
    'Did you mean keys?',
  ],
  'a store with the sessions until now': [
    () => migrating({ from: js(memory()), to: { cache }, until: new Date() }),
    'from must be the Cache with the sessions',
    'or { cache, keys }',
  ],
  'a client in place of the cache of a session store': [
    () => new SessionStore(js({ client: {} })),
    'the option cache must be a Cache',
    "{ cache: caches.use('session') }",
  ],
  'the store of another library': [
    () => session(js({ secret, store: cache })),
    'store must be Sessions or a SessionStore',
    'session({ secret, store: new Sessions({ cache }) })',
  ],
  'no secret': [
    () => session(js({ store: new Sessions({ cache }) })),
    'secret must be a non-empty string',
    'sessionSecret(process.env)',
  ],
  'a weak secret in production': [
    () => sessionFromEnv({ NODE_ENV: 'production', SESSION_SECRET: 'secret' }, drivers),
    'SESSION_SECRET=***: begins with a secret of fewer than 32 characters.',
    'openssl rand -base64 32',
  ],
  'no cache for a limit of requests': [
    () => limit(js({ name: 'api', limit: 100, window: '1m' })),
    'limit: the option cache must be a Cache',
    "limit({ cache: caches.use('cache')",
  ],
  'the name of a header as the key of a limit of requests': [
    () => limit(js({ cache, name: 'api', limit: 100, window: '1m', key: 'x-api-key' })),
    'limit: key must be a function of the request',
    'such as (request) =>',
  ],
  'no cache for responses': [
    () => responseCache(js({ ttl: '1m' })),
    'the option cache must be a Cache',
    "responseCache({ cache: caches.use('cache') })",
  ],
  'no handler for cached responses': [
    () => js(cached)({ cache }),
    'cached: the second argument must be the handler',
    'cached({ cache }, (request, response) => response.end())',
  ],
}

test.each(Object.keys(mistakes))(
  'names the cause, the remedy and the place of %s',
  async (name) => {
    const [run, cause, remedy] = mistakes[name] as Mistake
    const error = await failureOf(run)
    expect(error.message).toContain(cause)
    expect(error.message).toContain(remedy)
    expect(error.stack).toContain('mistakes.test.ts')
  },
)

async function failureOf(run: () => unknown): Promise<Error> {
  try {
    await run()
  } catch (error) {
    return error as Error
  }
  throw new Error('There was no error.')
}
