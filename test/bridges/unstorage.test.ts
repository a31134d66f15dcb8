import { runInNewContext } from 'node:vm'
import { unstorageDriver, unstorageFromEnv } from '@stowage/bridges/unstorage'
import { Cache, CacheError, DriverRegistry } from '@stowage/core'
import { memory } from '@stowage/memory'
import { redis } from '@stowage/redis'
import { startRedis } from '@stowage/test-servers'
import { createStorage, type StorageValue } from 'unstorage'
import redisDriver from 'unstorage/drivers/redis'
import { describe, expect, onTestFinished, test } from 'vitest'
import { backends, onRedis, recorded, unreachable } from './backends.ts'

describe.each(backends)('unstorage on $name', (backend) => {
  const createStore = backend.use()
  const create = () => {
    const cache = new Cache(createStore(), { prefix: `un${crypto.randomUUID()}:`, ttl: '1h' })
    const driver = unstorageDriver(cache)
    return { driver, storage: createStorage({ driver }) }
  }

  test('reads what was written: text, JSON and bytes', async () => {
    const { storage } = create()
    await storage.setItem('s1:a', 'text')
    await storage.setItem('s1:b', { name: 'Ada' })
    await storage.setItem('s1:c', '')
    expect(await storage.getItem('s1:a')).toBe('text')
    expect(await storage.getItem('s1:b')).toEqual({ name: 'Ada' })
    expect(await storage.hasItem('s1:a')).toBe(true)
    expect(await storage.getItem('s1:c')).toBe('')
    const bytes = Uint8Array.from({ length: 256 }, (_, byte) => byte)
    for (const value of [bytes, bytes.buffer, new DataView(bytes.buffer)]) {
      await storage.setItemRaw('raw', value)
      expect(new Uint8Array((await storage.getItemRaw('raw')) as Buffer)).toEqual(bytes)
    }
    await storage.removeItem('s1:a')
    expect([
      await storage.getItem('s1:a'),
      await storage.hasItem('s1:a'),
      await storage.getItemRaw('missing'),
    ]).toEqual([null, false, null])
  })

  test('reads and writes batches in order', async () => {
    const { storage } = create()
    await storage.setItems<StorageValue>([
      { key: 'a', value: 'first' },
      { key: 'b', value: { n: 2 }, options: { ttl: 60 } },
    ])
    expect(await storage.getItems(['b', 'missing', 'a'])).toEqual([
      { key: 'b', value: { n: 2 } },
      { key: 'missing', value: null },
      { key: 'a', value: 'first' },
    ])
  })

  test('lists and clears a part of a mount, where keys can be listed', async () => {
    const { driver, storage } = create()
    await storage.setItems(['a:1', 'a:2', 'b:1'].map((key) => ({ key, value: key })))
    expect((await storage.getKeys()).sort()).toEqual(backend.listsKeys ? ['a:1', 'a:2', 'b:1'] : [])
    if (backend.listsKeys) {
      // Listed in a shortened form.
      await driver.setItem('a:\ud800', 'x')
      await driver.clear('a:')
      expect(await storage.getKeys()).toEqual(['b:1'])
    } else {
      await expect(driver.clear('a:')).rejects.toMatchObject({ code: 'ERR_CACHE_UNSUPPORTED' })
    }
    await storage.clear()
    expect(await storage.getItem('b:1')).toBeNull()
  })
})

test('converts seconds, and gives items without a ttl that of the cache', async () => {
  const { store, calls } = recorded()
  const storage = createStorage({ driver: unstorageDriver(new Cache(store, { ttl: '1h' })) })
  await storage.setItem('a', 'x', { ttl: 90 })
  await storage.setItem('b', 'x')
  await storage.setItemRaw('c', 'x', { ttl: 1 })
  await storage.setItem('d', 'x', { ttl: null })
  const ttls = calls.filter(([name]) => name === 'set').map(([, args]) => args.at(-1))
  expect(ttls).toEqual([90_000, 3_600_000, 1_000, 3_600_000])
  await storage.setItem('a', 'y', { ttl: 0 })
  expect(await storage.getItem('a')).toBeNull()
})

test('unstorage itself removes a query from a key, and reads a text of digits as a number', async () => {
  const { store, calls } = recorded()
  const storage = createStorage({ driver: unstorageDriver(new Cache(store)) })
  await storage.setItem('page?user=ada', '456')
  expect(await storage.getItem('page?user=grace')).toBe(456)
  await storage.setItem(encodeURIComponent('page?user=ada'), 'page of ada')
  expect(await storage.getItem(encodeURIComponent('page?user=grace'))).toBeNull()
  expect(calls.map(([, [key]]) => key)).toContain('page')
})

test('a batch is one read', async () => {
  const { store, calls } = recorded()
  const storage = createStorage({ driver: unstorageDriver(new Cache(store)) })
  await storage.getItems(['a', 'b', 'c'])
  expect(calls.map(([name]) => name)).toEqual(['getMany'])
})

test('stores bytes as they are, and not as base64', async () => {
  const { store, calls } = recorded()
  const storage = createStorage({ driver: unstorageDriver(new Cache(store)) })
  await storage.setItemRaw('a', new Uint8Array([0, 255]))
  expect(Buffer.from(calls[0]?.[1][1] as Uint8Array)).toEqual(Buffer.from([0, 255]))
})

test('stores an ArrayBuffer of another realm as bytes', async () => {
  const storage = createStorage({ driver: unstorageDriver(new Cache(memory())) })
  await storage.setItemRaw('a', runInNewContext('new Uint8Array([0, 255]).buffer'))
  expect(await storage.getItemRaw('a')).toEqual(Buffer.from([0, 255]))
})

test('stores the last of several items with the same key, whatever their ttls', async () => {
  const driver = unstorageDriver(new Cache(memory()))
  await driver.setItems([
    { key: 'b', value: '1', options: { ttl: 5 } },
    { key: 'a', value: '1', options: { ttl: 9 } },
    { key: 'a', value: '2', options: { ttl: 5 } },
  ])
  expect(await driver.getItem('a')).toBe('2')
})

test('dispose does not close the cache', async () => {
  const cache = new Cache(memory())
  await createStorage({ driver: unstorageDriver(cache) }).dispose()
  await cache.ping()
})

test('rejects with the error of the backend', async () => {
  const storage = createStorage({ driver: unstorageDriver(new Cache(unreachable())) })
  await expect(storage.getItem('a')).rejects.toSatisfy(CacheError.is)
  await expect(storage.setItem('a', 1)).rejects.toSatisfy(CacheError.is)
})

describe('from the environment', () => {
  const createStore = onRedis.use()

  test('reads variables at the first call, and closes what it has opened', async () => {
    const registry = new DriverRegistry({ memory: () => import('@stowage/memory') })
    let created = 0
    const stores = {
      shared: () => {
        created++
        return createStore()
      },
    }
    const driver = unstorageFromEnv(registry, { stores })
    const pages = driver({ base: 'pages', ttl: 60 })
    const storage = createStorage({ driver: pages })
    storage.mount('users', driver({ base: 'users' }))
    expect(created).toBe(0)
    process.env.CACHE_STORE = 'shared'
    onTestFinished(() => void delete process.env.CACHE_STORE)
    await Promise.all([storage.setItem('1', 'page'), storage.setItem('users:1', 'Ada')])
    expect(created).toBe(2)
    expect((await storage.getKeys()).sort()).toEqual(['1', 'users:1'])
    await storage.clear()
    await storage.dispose()
    await expect(pages.getItem('1')).rejects.toMatchObject({ code: 'ERR_CACHE_CLOSED' })
  })

  test('rejects with the problems of the environment, and can be disposed', async () => {
    process.env.CACHE_DRIVER = 'redsi'
    onTestFinished(() => void delete process.env.CACHE_DRIVER)
    const registry = new DriverRegistry({ redis: () => import('@stowage/redis') })
    const driver = unstorageFromEnv(registry)()
    await expect(driver.getItem('a')).rejects.toThrow('CACHE_DRIVER=redsi')
    await driver.dispose()
  })
})

test('shares text with the Redis driver of unstorage', async () => {
  const server = await startRedis()
  const other = createStorage({ driver: redisDriver({ url: server.url, base: 'app' }) })
  const cache = new Cache(redis({ url: server.url, timeout: '20s' }), { prefix: 'app:' })
  onTestFinished(() => Promise.all([other.dispose(), cache.close()]).then(() => server.stop()))
  const storage = createStorage({ driver: unstorageDriver(cache) })
  await other.setItem('user:1', { name: 'Ada' })
  await storage.setItem('user:2', { name: 'Grace' })
  expect(await storage.getItem('user:1')).toEqual({ name: 'Ada' })
  expect(await other.getItem('user:2')).toEqual({ name: 'Grace' })
  expect((await storage.getKeys()).sort()).toEqual((await other.getKeys()).sort())
})
