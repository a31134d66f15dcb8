import { Cache } from '@stowage/core'
import { startMemcached } from '@stowage/test-servers'
import { describe, expect, onTestFinished, test } from 'vitest'
import { useOneServer } from '../one-server.ts'
import { sendText } from '../send-text.ts'

const max = Number.MAX_SAFE_INTEGER
const server = useOneServer()
const { createStore } = server

async function ttlOf(key: string): Promise<number> {
  const [, ttl] = (await sendText(server.port, `mg ${key} t`)).match(/t(-?\d+)/) ?? []
  return Number(ttl)
}

for (const protocol of ['binary', 'meta'] as const) {
  describe(protocol, () => {
    test('stores every counter as decimal text with the flags of the client that created it', async () => {
      const store = createStore({ protocol })
      for (const flags of [0, 1, 2]) {
        const key = `flags-${protocol}-${flags}`
        await sendText(server.port, `set ${key} ${flags} 10000 2\r\n10`)
        const steps = [-1, -14, 3, 10, 100, -10]
        let sum = 10
        for (const by of steps) {
          sum += by
          expect(await store.increment(key, by)).toBe(sum)
          const value = `VALUE ${key} ${flags} ${`${sum}`.length}\r\n${sum}\r\nEND\r\n`
          expect(await sendText(server.port, `get ${key}`)).toBe(value)
        }
        expect(Math.abs((await ttlOf(key)) - 10_000)).toBeLessThanOrEqual(100)
      }
    })

    test('never prolongs a counter, however often it is replaced', async () => {
      const store = createStore({ protocol })
      const keys = Array.from({ length: 50 }, (_, index) => `replaced-${protocol}-${index}`)
      for (const key of keys) await store.increment(key, -1, 100_000)
      const other = `as-it-was-${protocol}`
      await store.increment(other, -1, 100_000)
      const ttl = await ttlOf(other)
      let next = ttl
      // At each of two ticks of the server's clock, some have been read and not replaced yet.
      const replace = async (key: string) => {
        while (next > ttl - 2) await store.increment(key, -1)
      }
      const replacing = Promise.all(keys.map(replace))
      while (next > ttl - 2) next = await ttlOf(other)
      await replacing
      for (const key of keys) expect(await ttlOf(key)).toBeLessThanOrEqual(next)
    })

    test('returns large integers of other clients unchanged', async () => {
      const store = createStore({ protocol })
      for (const text of ['2305843009213693952', '3000000000000000000', '18446744073709551615']) {
        await sendText(server.port, `set large-${protocol} 0 0 ${text.length}\r\n${text}`)
        expect(String(await store.get(`large-${protocol}`))).toBe(text)
        const call = store.increment(`large-${protocol}`, 1)
        await expect(call).rejects.toMatchObject({ code: 'ERR_CACHE_REJECTED' })
      }
    })

    test('a sum that is too large is never visible', async () => {
      const [a, b, c] = [
        createStore({ protocol }),
        createStore({ protocol }),
        createStore({ protocol }),
      ]
      const key = `overflow-${protocol}`
      await a.set(key, `${max - 100_000}`)
      const end = performance.now() + 1_000
      let largest = 0
      let done = 0
      const overflow = async () => {
        while (performance.now() < end) await Promise.allSettled([a.increment(key, max)])
      }
      const observe = async () => {
        while (performance.now() < end) largest = Math.max(largest, Number(await b.get(key)))
      }
      const fit = async () => {
        for (; performance.now() < end; done++) await c.increment(key, 1)
      }
      await Promise.all([overflow(), observe(), fit()])
      expect(largest).toBeLessThanOrEqual(max)
      expect(Number(await b.get(key))).toBe(max - 100_000 + done)
    })

    test('increments of a negative number by many stores are all executed', async () => {
      const stores = Array.from({ length: 10 }, () => createStore({ protocol }))
      const key = `many-${protocol}`
      for (let round = 0; round < 20; round++) {
        await stores[0]?.set(key, '-5')
        const calls = stores.flatMap((store) => [store.increment(key, 3), store.increment(key, 3)])
        await Promise.all(calls)
        expect(String(await stores[0]?.get(key))).toBe('55')
      }
    })

    test('a number that is read first is added before those of later calls', async () => {
      const store = createStore({ protocol })
      const key = `sums-${protocol}`
      await store.increment(key, 5)
      const calls = [-1, 1, 2 ** 40, 1].map((by) => store.increment(key, by))
      expect(await Promise.all(calls)).toEqual([4, 5, 2 ** 40 + 5, 2 ** 40 + 6])
    })

    test('the calls for a key take effect in order', async () => {
      const store = createStore({ protocol })
      const key = `order-${protocol}`
      await store.set(key, '-5')
      const calls = [
        store.increment(key, 3),
        store.set(key, '0'),
        store.increment(key, -1),
        store.get(key),
        store.compareAndSet(key, '-1', 'a'),
        store.setMany([[key, 'b']]),
        store.compareAndSet(key, 'b', 'c'),
        store.deleteMany([key]),
        store.add(key, '-7'),
        store.increment(key, 1),
        store.getMany([key]),
      ]
      const [, , , read, ...rest] = await Promise.all<unknown>(calls)
      expect(String(read)).toBe('-1')
      expect(rest).toEqual([true, undefined, true, 1, true, -6, [Buffer.from('-6')]])
    })
  })
}

test('a cache reads the counters of PHP and Python, also below zero', async () => {
  const cache = new Cache(createStore())
  for (const flags of [1, 2, 0]) {
    await sendText(server.port, `set php ${flags} 0 2\r\n10`)
    expect(await cache.decrement('php', 15)).toBe(-5)
    expect(await cache.get('php')).toBe(-5)
    await sendText(server.port, `set php ${flags} 0 2\r\n-3`)
    expect(await cache.increment('php', 1)).toBe(-2)
    expect(await cache.get('php')).toBe(-2)
  }
})

test('a server without meta commands pads shorter counters and refuses negative ones', async () => {
  const binaryOnly = await startMemcached({ args: ['-B', 'binary'] })
  onTestFinished(binaryOnly.stop)
  const store = createStore({ servers: [binaryOnly.address] })
  await store.set('n', '10')
  expect(await store.increment('n', -1)).toBe(9)
  expect(await new Cache(store).get('n')).toBe(9)
  expect(await store.increment('n', -4)).toBe(5)
  await expect(store.increment('n', -6)).rejects.toMatchObject({ code: 'ERR_CACHE_UNSUPPORTED' })
  expect(await store.increment('n', 1)).toBe(6)
})
