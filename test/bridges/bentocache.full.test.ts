import { bentoDriver } from '@stowage/bridges/bentocache'
import { Cache, CacheError } from '@stowage/core'
import { memory } from '@stowage/memory'
import { BentoCache, bentostore } from 'bentocache'
import { registerCacheDriverTestSuite } from 'bentocache/test_suite'
import {
  afterAll,
  afterEach,
  assert,
  beforeAll,
  describe,
  expect,
  onTestFinished,
  test,
} from 'vitest'
import { backends, recorded, unreachable } from './backends.ts'

/**
 * On a backend that lists no keys, namespaces have generations. And the suite expects that a ttl of 1.5 s is over after 2.5 s:
 * Memcached counts whole seconds with a clock that ticks once a second, so that a ttl that is never too short lasts up to 3 s.
 */
const notOnMemcached = [
  'should be able to access namespaced key from root if prefixed',
  'set() store a value with expiration',
]

interface Context {
  readonly assert: typeof assert & { isTrue(value: unknown): void }
  cleanup(run: () => unknown): void
}

describe.each(backends)('the suite of bentocache on $name', (backend) => {
  const createStore = backend.use()
  let cache: Cache
  beforeAll(() => {
    cache = new Cache(createStore(), { prefix: `b${crypto.randomUUID()}:` })
  })
  // What the suite calls of its own runner.
  const group = {
    setup: (run: () => Promise<() => unknown>) => {
      let stop: () => unknown
      beforeAll(async () => {
        stop = await run()
      })
      afterAll(() => void stop())
    },
    tap: () => {},
    each: { teardown: (run: () => unknown) => void afterEach(async () => void (await run())) },
  }
  const declare = (name: string, run: (context: Context) => Promise<void>) => {
    if (!backend.listsKeys && notOnMemcached.includes(name)) return
    test(name, () => run({ assert, cleanup: (stop) => void onTestFinished(() => void stop()) }))
  }
  registerCacheDriverTestSuite({
    test: declare as never,
    group: group as never,
    createDriver: (options) => bentoDriver(cache).factory({ prefix: 'japa', ...options }) as never,
  })
})

describe.each(backends)('bentocache on $name', (backend) => {
  const createStore = backend.use()

  test('a value expires', async () => {
    const driver = bentoDriver(new Cache(createStore(), { prefix: 'expiry:' })).factory({})
    await driver.set('key', 'value', 1_000)
    await expect.poll(() => driver.get('key')).toBeUndefined()
  })

  test('two applications share their values, and load each once', async () => {
    const cache = new Cache(createStore(), { prefix: `b${crypto.randomUUID()}:`, ttl: '1h' })
    const create = () =>
      new BentoCache({
        default: 'shared',
        stores: { shared: bentostore().useL2Layer(bentoDriver(cache)) },
      })
    const [first, second] = [create(), create()]
    let loads = 0
    const factory = async () => {
      loads++
      return { name: 'Ada' }
    }
    expect(await first.getOrSet({ key: 'user:1', factory, tags: ['user'] })).toEqual({
      name: 'Ada',
    })
    expect(await second.getOrSet({ key: 'user:1', factory })).toEqual({ name: 'Ada' })
    expect(loads).toBe(1)
    await first.namespace('pages').set({ key: 'home', value: 'html' })
    await first.namespace('pages').clear()
    expect(await second.namespace('pages').get({ key: 'home' })).toBeUndefined()
    await first.deleteByTag({ tags: ['user'] })
    await second.getOrSet({ key: 'user:1', factory })
    expect(loads).toBe(2)
    await first.disconnect()
    expect(await second.get({ key: 'user:1' })).toEqual({ name: 'Ada' })
  })
})

test('values without a ttl have that of the cache, and text is stored as it is', async () => {
  const { store, calls } = recorded()
  const driver = bentoDriver(new Cache(store, { ttl: '1h' })).factory({})
  await driver.set('a', '{"value":1}')
  await driver.set('b', 'x', 1_500)
  await driver.set('c', 'x', 0)
  const writes = calls.filter(([name]) => name === 'set').map(([, args]) => args)
  expect(writes.map((args) => args.at(-1))).toEqual([3_600_000, 1_500])
  expect(String(writes[0]?.[1])).toBe('{"value":1}')
  expect(await driver.get('c')).toBeUndefined()
})

test('rejects with the error of the backend', async () => {
  const driver = bentoDriver(new Cache(unreachable())).factory({})
  await expect(driver.get('a')).rejects.toSatisfy(CacheError.is)
  await driver.disconnect()
  const cache = new Cache(memory())
  await bentoDriver(cache).factory({}).disconnect()
  await cache.ping()
})
