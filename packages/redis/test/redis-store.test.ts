import { Socket } from 'node:net'
import { Cache } from '@stowage/core'
import type { BatchError } from '@stowage/core/driver'
import { redis } from '@stowage/redis'
import { startRedis } from '@stowage/test-servers'
import { Redis } from 'ioredis'
import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest'

const server = await startRedis()
const admin = new Redis(server.url)
const store = redis({ url: server.url, timeout: '20s' })

beforeEach(async () => void (await admin.flushall()))

afterAll(async () => {
  await store.close()
  admin.disconnect()
  await server.stop()
})

/** How often the server executes each command during `work`. */
async function countCommands(work: () => Promise<unknown>): Promise<Record<string, number>> {
  await admin.config('RESETSTAT')
  await work()
  const stats = await admin.info('commandstats')
  const counts = [...stats.matchAll(/cmdstat_(\S+?):calls=(\d+)/g)].map(([, name, n]) => [
    name,
    Number(n),
  ])
  return Object.fromEntries(counts)
}

function setRequest(key: string, value: string): string {
  const args = ['SET', key, value, 'PX', '60000']
  return `*5\r\n${args.map((arg) => `$${arg.length}\r\n${arg}\r\n`).join('')}`
}

describe('round trips', () => {
  const keys = Array.from({ length: 1_000 }, (_, i) => `key ${i}`)
  const entries = keys.map((key) => [key, '1'] as const)

  test('1,000 keys are read with two commands', async () => {
    expect(await countCommands(async () => store.getMany(keys))).toMatchObject({ mget: 2 })
  })

  test('1,000 entries without ttl are written, and 1,000 keys deleted, with two commands each', async () => {
    expect(await countCommands(async () => store.setMany(entries))).toMatchObject({ mset: 2 })
    expect(await countCommands(async () => store.deleteMany(keys))).toMatchObject({ unlink: 2 })
  })

  test('a hit of remember with a stale window and a tag is one command, for all callers of a turn', async () => {
    const cache = new Cache(store, { prefix: 'remembered:' })
    const options = { ttl: '1m', staleWhileRevalidate: '1h', tags: ['t'] } as const
    const load = () => 'value'
    await cache.remember('k', options, load)
    await cache.get('k')
    const hit = async () => expect(await cache.remember('k', options, load)).toBe('value')
    expect(await countCommands(hit)).toEqual({ 'config|resetstat': 1, mget: 1 })
    const hits = () => Promise.all(Array.from({ length: 50 }, hit))
    expect(await countCommands(hits)).toEqual({ 'config|resetstat': 1, mget: 1 })
    const gets = () => Promise.all([cache.get('k'), cache.getMany(['k', 'other'])])
    expect(await countCommands(gets)).toMatchObject({ mget: 1 })
  })

  test('a miss of remember is a read, an add and a compare-and-set', async () => {
    const cache = new Cache(store, { prefix: 'remembered:' })
    const miss = () => cache.remember('missing', {}, () => 'value')
    await miss()
    await cache.delete('missing')
    expect(await countCommands(miss)).toMatchObject({ get: 2, set: 2, evalsha: 1 })
  })

  test('with lease: false, a refresh is a read and a compare-and-set, without a second key', async () => {
    const refreshes: Promise<void>[] = []
    const waitUntil = (work: Promise<void>) => void refreshes.push(work)
    const cache = new Cache(store, { prefix: 'unleased:', waitUntil })
    const options = { ttl: '1m', staleWhileRevalidate: '1h', lease: false } as const
    const staleHit = async () => {
      expect(await cache.remember('k', options, () => 'new')).toBe('old')
      await Promise.all(refreshes)
    }
    await cache.remember('k', options, () => 'old')
    await cache.expire('k')
    // The hit, the read before the load, and that of the script.
    expect(await countCommands(staleHit)).toEqual({
      'config|resetstat': 1,
      get: 3,
      evalsha: 1,
      set: 1,
    })
    const leased = async () => cache.remember('k', { ...options, lease: '5s' }, () => 'newer')
    await cache.expire('k')
    expect(await countCommands(() => leased().then(() => Promise.all(refreshes)))).toMatchObject({
      get: 4,
      set: 2,
    })
  })

  test('the calls of a tick are sent in one write per 64 KiB', async () => {
    await store.ping()
    const write = vi.spyOn(Socket.prototype, 'write')
    await Promise.all(keys.map((key) => store.set(key, 'x'.repeat(300), 60_000)))
    const bytes = keys.length * Buffer.byteLength(setRequest('key 1234', 'x'.repeat(300)))
    // The 1,000 calls are two batches of up to 500 keys.
    expect(write.mock.calls.length).toBeLessThanOrEqual(2 * Math.ceil(bytes / 2 / 65_536))
    write.mockRestore()
  })

  test('values set in one tick with one ttl are sent in two writes, and all expire', async () => {
    const setAll = () =>
      Promise.all(keys.slice(0, 100).map((key, i) => store.set(key, `${i}`, 60_000)))
    await setAll()
    const write = vi.spyOn(Socket.prototype, 'write')
    await setAll()
    expect(write).toHaveBeenCalledTimes(2)
    write.mockRestore()
    expect(await countCommands(setAll)).toMatchObject({ set: 100 })
    expect((await store.getMany(['key 0', 'key 99'])).map(String)).toEqual(['0', '99'])
    for (const key of ['key 0', 'key 99']) expect(await admin.pttl(key)).toBeGreaterThan(50_000)
  })

  test('all batches of a turn are sent in one write while another call is in flight', async () => {
    const write = vi.spyOn(Socket.prototype, 'write')
    const inFlight = store.get('in flight')
    await new Promise((resolve) => process.nextTick(resolve))
    expect(write).toHaveBeenCalledTimes(1)
    await Promise.all([
      store.get('a'),
      store.get('b', { consistency: 'strong' }),
      ...[1_000, 2_000, 3_000].map((ttl) => store.set(`ttl ${ttl}`, 'v', ttl)),
    ])
    expect(write).toHaveBeenCalledTimes(2)
    write.mockRestore()
    await inFlight
  })

  test('small and large values can be stored in one call', async () => {
    const values = ['a', 'b'.repeat(1_000), 'c', 'd'.repeat(1_000)]
    await store.setMany(
      values.map((value, i) => [`key ${i}`, value]),
      60_000,
    )
    const stored = await store.getMany(values.map((_, i) => `key ${i}`))
    expect(stored.map(String)).toEqual(values)
  })

  test('each call of a cache is one command', async () => {
    const cache = new Cache(store, { prefix: 'c:' })
    const expectOne = (command: string, work: () => Promise<unknown>) =>
      expect(countCommands(work)).resolves.toMatchObject({ [command]: 1 })
    await expectOne('set', () => cache.set('k', 1, { ttl: '1m' }))
    await expectOne('get', () => cache.get('k'))
    await expectOne('get', () => cache.remember('k', {}, () => 2))
    await expectOne('pexpire', () => cache.touch('k', { ttl: '1m' }))
    await expectOne('unlink', () => cache.delete('k'))
  })
})

describe('on the server', () => {
  test('a value is plain JSON, a counter is a plain number, and a ttl is in milliseconds', async () => {
    const cache = new Cache(store, { prefix: 'app:' })
    await cache.set('user', { name: 'Ada' }, { ttl: 12_345 })
    await cache.increment('hits', 7)
    expect(await admin.get('app:user')).toBe('{"name":"Ada"}')
    expect(await admin.get('app:hits')).toBe('7')
    const ttl = await admin.pttl('app:user')
    expect(ttl).toBeGreaterThan(0)
    expect(ttl).toBeLessThanOrEqual(12_345)
    expect(await admin.pttl('app:hits')).toBe(-1)
  })

  test('JSON written by another program can be read', async () => {
    await admin.set('app:n', '[1,2]')
    expect(await new Cache(store, { prefix: 'app:' }).get('n')).toEqual([1, 2])
  })

  test.each([
    ['text', /the stored value is not an integer \(/],
    [String(2 ** 53 - 1), /the sum is not a safe integer \(/],
  ])(
    'an increment of %s is rejected with the reason, without the name of a script',
    async (value, reason) => {
      await store.set('k', value)
      await expect(store.increment('k', 1)).rejects.toThrow(reason)
    },
  )

  test('a key of another type is a miss, and set overwrites it', async () => {
    await admin.hset('h', 'field', 'value')
    expect(await store.get('h')).toBeUndefined()
    expect(await store.getMany(['h'])).toEqual([undefined])
    expect(await store.compareAndSet('h', 'x', 'y')).toBe(false)
    expect(await store.add('h', 'x')).toBe(false)
    await expect(store.increment('h', 1)).rejects.toMatchObject({ code: 'ERR_CACHE_REJECTED' })
    await store.set('h', 'v')
    expect(String(await store.get('h'))).toBe('v')
  })

  test('scripts are sent again after SCRIPT FLUSH', async () => {
    await store.increment('n', 1)
    await admin.script('FLUSH')
    expect(await store.increment('n', 1)).toBe(2)
    await admin.script('FLUSH')
    expect(await Promise.all([1, 2, 3].map(() => store.increment('n', 1)))).toEqual([3, 4, 5])
  })

  test('the first script on a connection keeps its place among the calls of its tick', async () => {
    const keys = ['a', 'b']
    for (let round = 0; round < 5; round++) {
      await admin.script('FLUSH')
      const fresh = redis({ url: server.url, timeout: '20s' })
      await fresh.ping()
      await Promise.all([
        fresh.setMany(
          keys.map((key) => [key, '1']),
          60_000,
        ),
        fresh.deleteMany(keys),
      ])
      expect(await fresh.getMany(keys)).toEqual([undefined, undefined])
      await fresh.close()
    }
  })

  test('a value over the limit fails alone: the other entries of its call are stored', async () => {
    const small = redis({ url: server.url, maxValueBytes: 10, timeout: '20s' })
    await small.set('large', 'old')
    const entries = [['a', '1'] as const, ['large', 'x'.repeat(11)] as const, ['b', '2'] as const]
    const failure = await Promise.resolve(small.setMany(entries)).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'ERR_CACHE_LIMIT', key: 'large' })
    expect((failure as BatchError).outcomes.map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'fulfilled',
    ])
    expect((await small.getMany(['a', 'large', 'b'])).map(String)).toEqual(['1', 'undefined', '2'])
    await small.close()
  })

  test('time() is that of the server, in epoch milliseconds', async () => {
    const [seconds] = await admin.time()
    const time = (await store.time?.()) ?? 0
    expect(Math.abs(time - Number(seconds) * 1_000)).toBeLessThan(3_000)
    expect(Number.isInteger(time)).toBe(true)
  })

  test('clear() of a prefix with glob characters deletes exactly its own keys', async () => {
    const cache = new Cache(store, { prefix: 'app[1]*?\\^-:' })
    const others = ['app1:a', 'app[1]x:a', 'app[1]*?\\^-', 'app[1]', 'app1x?\\^-:a']
    await Promise.all(others.map((key) => admin.set(key, '1')))
    await cache.setMany(Array.from({ length: 2_500 }, (_, i) => [`k${i}`, i]))
    await cache.clear()
    expect((await admin.keys('*')).sort()).toEqual([...others].sort())
  })

  test('a value over the limit is rejected before it is sent', async () => {
    const small = redis({ url: server.url, maxValueBytes: 10, timeout: '20s' })
    await small.set('k', 'old')
    const sent = await countCommands(async () => {
      await expect(small.set('k', 'x'.repeat(11))).rejects.toMatchObject({
        code: 'ERR_CACHE_LIMIT',
      })
    })
    expect(sent).not.toHaveProperty('set')
    expect(await small.get('k')).toBeUndefined()
    await small.close()
  })
})

test.each([undefined, 60_000])(
  'the last item of a repeated key is stored while its slot is migrated (ttl %s)',
  async (ttl) => {
    const items = new Map<string, string>()
    const sets: (() => void)[] = []
    const migrating = new Error('Too many Cluster redirections. Last error: ReplyError: TRYAGAIN')
    const refuse = () => Promise.reject(migrating)
    // Commands that a node redirects may overtake each other.
    const executeAll = () => {
      for (const execute of sets.reverse()) execute()
    }
    const set = (key: string, value: unknown) => {
      if (sets.length === 0) setImmediate(executeAll)
      return new Promise((resolve) => {
        sets.push(() => resolve(items.set(key, String(value)) && 'OK'))
      })
    }
    const client = { mset: refuse, eval: refuse, evalsha: refuse, set, getBuffer() {} }
    const migrated = redis({ client: client as never, timeout: '20s' })
    const entries = [
      ['k', 'first'],
      ['other', '1'],
      ['k', 'last'],
    ] as const
    await migrated.setMany(entries, ttl)
    expect(items).toEqual(
      new Map([
        ['k', 'last'],
        ['other', '1'],
      ]),
    )
  },
)
