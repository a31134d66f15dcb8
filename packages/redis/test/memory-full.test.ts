import { inspect } from 'node:util'
import { Cache } from '@stowage/core'
import { redis } from '@stowage/redis'
import { startRedis } from '@stowage/test-servers'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'

const mebibyte = 1024 * 1024

const server = await startRedis()
const admin = new Redis(server.url)
let store: ReturnType<typeof redis>

beforeEach(async () => {
  await admin.config('SET', 'maxmemory', 0)
  await admin.flushall()
  await admin.script('FLUSH')
  store = redis({ url: server.url, timeout: '20s' })
})

afterEach(() => store.close())

afterAll(async () => {
  admin.disconnect()
  await server.stop()
})

async function usedBytes(): Promise<number> {
  return Number(/^used_memory:(\d+)/m.exec(await admin.info('memory'))?.[1])
}

describe('a full server with noeviction', () => {
  const ballast = Array.from({ length: 100 }, (_, n) => `ballast:${n}`)

  /** Exceeds maxmemory by far. There is room again once the ballast is deleted. */
  async function fill(): Promise<void> {
    const used = await usedBytes()
    await admin.config('SET', 'maxmemory-policy', 'noeviction')
    await admin.mset(ballast.flatMap((key) => [key, 'x'.repeat(mebibyte / 10)]))
    await admin.config('SET', 'maxmemory', used + 5 * mebibyte)
  }

  const full = {
    code: 'ERR_CACHE_REJECTED',
    retryable: true,
    message: expect.stringMatching(/OOM.*raise maxmemory, or choose an eviction policy/),
  }

  beforeEach(async () => {
    await store.set('k', 'v')
    await store.increment('n', 41)
    await fill()
  })

  const writes: Record<string, () => unknown> = {
    set: () => store.set('k', 'new'),
    'set with a ttl': () => store.set('k', 'new', 60_000),
    setMany: () => store.setMany([['k', 'new']]),
    'setMany with a ttl': () => store.setMany([['k', 'new']], 60_000),
    add: () => store.add('absent', 'new'),
    compareAndSet: () => store.compareAndSet('k', 'v', 'new'),
    'compareAndSet with a ttl': () => store.compareAndSet('k', 'v', 'new', 60_000),
    increment: () => store.increment('n', 1),
    'increment of a new counter': () => store.increment('absent', 1, 60_000),
  }

  test.each(Object.keys(writes))(
    '%s rejects with a remedy, and has no partial effect',
    async (name) => {
      // Twice: the first call sends the source of a script, the second its digest.
      for (let attempt = 0; attempt < 2; attempt++)
        await expect(writes[name]?.()).rejects.toMatchObject(full)
      expect(await admin.mget('k', 'n', 'absent')).toEqual(['v', '41', null])
      expect(await admin.pttl('k')).toBe(-1)
      expect(await admin.dbsize()).toBe(ballast.length + 2)
    },
  )

  test('the error contains neither key nor value', async () => {
    const secret = 'hunter2'
    const error = await Promise.resolve(store.increment(secret, 1, 60_000)).catch((e: Error) => e)
    expect(error).toMatchObject(full)
    expect(inspect(error)).not.toContain(secret)
  })

  test('reads, deletes and touch still succeed', async () => {
    expect((await store.getMany(['k', 'n'])).map(String)).toEqual(['v', '41'])
    expect(await store.touch('n', 60_000)).toBe(true)
    expect(await store.touch('n')).toBe(true)
    expect(await store.compareAndSet('k', 'v', undefined)).toBe(true)
    expect(await store.delete('n')).toBe(true)
    await store.ping()
  })

  test('remember resolves to the loaded value', async () => {
    const cache = new Cache(store)
    expect(await cache.remember('absent', { ttl: '1m' }, () => 'loaded')).toBe('loaded')
    expect(await cache.get('absent')).toBeUndefined()
  })

  test('writes succeed again on the same connection once there is room', async () => {
    await expect(store.set('k', 'new')).rejects.toMatchObject(full)
    expect(await store.deleteMany(ballast)).toBe(ballast.length)
    await store.set('k', 'new')
    expect(await store.increment('n', 1)).toBe(42)
    expect(await store.compareAndSet('k', 'new', 'newer', 60_000)).toBe(true)
  })
})

describe('a full server with allkeys-lru', () => {
  const maxBytes = 8 * mebibyte
  const keys = Array.from({ length: 3_000 }, (_, n) => `key ${n}`)
  const textOf = (key: string) => `${key} ${'x'.repeat(10_000)}`
  let cache: Cache

  beforeEach(async () => {
    cache = new Cache(store, { prefix: 'c:' })
    await admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
    await admin.config('SET', 'maxmemory', maxBytes)
  })

  /** Writes several times maxmemory. */
  async function overfill(): Promise<void> {
    for (let start = 0; start < keys.length; start += 50) {
      const chunk = keys.slice(start, start + 50)
      await cache.setMany(
        chunk.map((key) => [key, textOf(key)]),
        { ttl: '1h' },
      )
    }
  }

  test('accepts all writes, stays within maxmemory, and reads evicted keys as misses', async () => {
    await overfill()
    expect(await usedBytes()).toBeLessThan(maxBytes + mebibyte)
    const values = await cache.getMany(keys)
    const hits = keys.filter((_, at) => values[at] !== undefined)
    expect(hits.length).toBeGreaterThan(0)
    expect(hits.length).toBeLessThan(keys.length / 2)
    for (const [at, key] of keys.entries()) expect([undefined, textOf(key)]).toContain(values[at])
  })

  test('does not restore evicted keys by touch or compareAndSet; increment creates a counter with expiry', async () => {
    await store.set('session', '{}', 60_000)
    await store.add('lock', 'owner', 60_000)
    await store.increment('n', 41, 60_000)
    // The server's LRU clock has a resolution of one second; within that, eviction is random.
    while ((await admin.exists('session', 'lock', 'n')) > 0) await overfill()
    expect(await store.touch('session', 60_000)).toBe(false)
    expect(await store.compareAndSet('session', '{}', '{"a":1}')).toBe(false)
    expect(await store.compareAndSet('lock', 'owner', undefined)).toBe(false)
    expect(await store.increment('n', 1, 60_000)).toBe(1)
    expect(await admin.pttl('n')).toBeGreaterThan(0)
    expect(await cache.remember('again', { ttl: '1m' }, () => 'loaded')).toBe('loaded')
    expect(await cache.get('again')).toBe('loaded')
  })
})
