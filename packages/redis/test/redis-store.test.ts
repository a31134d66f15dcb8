import { Socket } from 'node:net'
import { Cache } from '@stowage/core'
import { redis } from '@stowage/redis'
import { type RedisServer, startRedis } from '@stowage/test-servers'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'

let server: RedisServer
let admin: Redis
let store: ReturnType<typeof redis>

beforeAll(async () => {
  server = await startRedis()
  admin = new Redis(server.url)
  store = redis({ url: server.url })
})

beforeEach(async () => void (await admin.flushall()))

afterAll(async () => {
  await store.close()
  admin.disconnect()
  await server.stop()
})

/** How often the server ran each command while `work` was done. */
async function commandsOf(work: () => Promise<unknown>): Promise<Record<string, number>> {
  await admin.config('RESETSTAT')
  await work()
  const stats = await admin.info('commandstats')
  const counts = [...stats.matchAll(/cmdstat_(\S+?):calls=(\d+)/g)].map(([, name, n]) => [
    name,
    Number(n),
  ])
  return Object.fromEntries(counts)
}

describe('round trips', () => {
  const keys = Array.from({ length: 1_000 }, (_, i) => `key ${i}`)
  const entries = keys.map((key) => [key, '1'] as const)

  test('a thousand keys are read with two commands', async () => {
    expect(await commandsOf(async () => store.getMany(keys))).toMatchObject({ mget: 2 })
  })

  test('a thousand entries without ttl are written with two, a thousand keys deleted with two', async () => {
    expect(await commandsOf(async () => store.setMany(entries))).toMatchObject({ mset: 2 })
    expect(await commandsOf(async () => store.deleteMany(keys))).toMatchObject({ unlink: 2 })
  })

  test('calls of one tick leave in one write for each 64 of them', async () => {
    await store.ping()
    const write = vi.spyOn(Socket.prototype as unknown as { _writev(): void }, '_writev')
    await Promise.all(keys.map((key) => store.set(key, 'x'.repeat(300), 60_000)))
    expect(write).toHaveBeenCalledTimes(Math.ceil(keys.length / 64))
    write.mockRestore()
  })

  test('small values that one tick sets with one ttl are a script, or two, and expire each', async () => {
    const setAll = () =>
      Promise.all(keys.slice(0, 100).map((key, i) => store.set(key, `${i}`, 60_000)))
    await setAll()
    expect(await commandsOf(setAll)).toMatchObject({ evalsha: 2, set: 100 })
    expect((await store.getMany(['key 0', 'key 99'])).map(String)).toEqual(['0', '99'])
    for (const key of ['key 0', 'key 99']) expect(await admin.pttl(key)).toBeGreaterThan(50_000)
  })

  test('small and large values may be stored together', async () => {
    const values = ['a', 'b'.repeat(1_000), 'c', 'd'.repeat(1_000)]
    await store.setMany(
      values.map((value, i) => [`key ${i}`, value]),
      60_000,
    )
    const found = await store.getMany(values.map((_, i) => `key ${i}`))
    expect(found.map(String)).toEqual(values)
  })

  test('each call of the facade is one command', async () => {
    const cache = new Cache(store, { prefix: 'c:' })
    const one = (command: string, work: () => Promise<unknown>) =>
      expect(commandsOf(work)).resolves.toMatchObject({ [command]: 1 })
    await one('set', () => cache.set('k', 1, { ttl: '1m' }))
    await one('get', () => cache.get('k'))
    await one('get', () => cache.remember('k', {}, () => 2))
    await one('pexpire', () => cache.touch('k', { ttl: '1m' }))
    await one('unlink', () => cache.delete('k'))
  })
})

describe('on the server', () => {
  test('a value is plain JSON, a counter a plain number, the ttl in milliseconds', async () => {
    const cache = new Cache(store, { prefix: 'app:' })
    await cache.set('user', { name: 'Ada' }, { ttl: 12_345 })
    await cache.increment('hits', 7)
    expect(await admin.get('app:user')).toBe('{"name":"Ada"}')
    expect(await admin.get('app:hits')).toBe('7')
    const left = await admin.pttl('app:user')
    expect(left).toBeGreaterThan(0)
    expect(left).toBeLessThanOrEqual(12_345)
    expect(await admin.pttl('app:hits')).toBe(-1)
  })

  test('what another program wrote as JSON is read', async () => {
    await admin.set('app:n', '[1,2]')
    expect(await new Cache(store, { prefix: 'app:' }).get('n')).toEqual([1, 2])
  })

  test('a key of another type is a miss to read and no obstacle to write', async () => {
    await admin.hset('h', 'field', 'value')
    expect(await store.get('h')).toBeUndefined()
    expect(await store.getMany(['h'])).toEqual([undefined])
    expect(await store.compareAndSet('h', 'x', 'y')).toBe(false)
    expect(await store.add('h', 'x')).toBe(false)
    await expect(store.increment('h', 1)).rejects.toMatchObject({ code: 'ERR_CACHE_REJECTED' })
    await store.set('h', 'v')
    expect(String(await store.get('h'))).toBe('v')
  })

  test('scripts are sent again to a server that has lost them', async () => {
    await store.increment('n', 1)
    await admin.script('FLUSH')
    expect(await store.increment('n', 1)).toBe(2)
    await admin.script('FLUSH')
    expect(await Promise.all([1, 2, 3].map(() => store.increment('n', 1)))).toEqual([3, 4, 5])
  })

  test('clearing a prefix of glob characters removes exactly its own keys', async () => {
    const cache = new Cache(store, { prefix: 'app[1]*?\\^-:' })
    const foreign = ['app1:a', 'app[1]x:a', 'app[1]*?\\^-', 'app[1]', 'app1x?\\^-:a']
    await Promise.all(foreign.map((key) => admin.set(key, '1')))
    await cache.setMany(Array.from({ length: 2_500 }, (_, i) => [`k${i}`, i]))
    await cache.clear()
    expect((await admin.keys('*')).sort()).toEqual([...foreign].sort())
  })

  test('a value over the limit is refused before it is sent', async () => {
    const small = redis({ url: server.url, maxValueBytes: 10 })
    await small.set('k', 'old')
    const sent = await commandsOf(async () => {
      await expect(small.set('k', 'x'.repeat(11))).rejects.toMatchObject({
        code: 'ERR_CACHE_LIMIT',
      })
    })
    expect(sent).not.toHaveProperty('set')
    expect(await small.get('k')).toBeUndefined()
    await small.close()
  })
})
