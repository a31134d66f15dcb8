import { Cache } from '@stowage/core'
import { startMemcached } from '@stowage/test-servers'
import { describe, expect, onTestFinished, test } from 'vitest'
import { useOneServer } from './one-server.ts'
import { sendText } from './send-text.ts'

const mebibyte = 1024 * 1024
const server = useOneServer()
const { createStore } = server

test('both protocols store a key under the same name, whatever characters it contains', async () => {
  const [binary, meta] = [createStore({ protocol: 'binary' }), createStore({ protocol: 'meta' })]
  const keys = [
    'ж'.repeat(94),
    'é'.repeat(125),
    '€'.repeat(83),
    'a'.repeat(250),
    'a b',
    '\u007f ж\n',
    `a b${'c'.repeat(200)}`,
    `\0${'é'.repeat(120)}`,
  ]
  for (const key of keys) {
    await binary.set(key, 'binary')
    expect(String(await meta.get(key))).toBe('binary')
    await meta.delete(key)
    expect(await binary.get(key)).toBeUndefined()
  }
})

test('a small value does not keep a large buffer in memory', async () => {
  const store = createStore()
  await store.set('large', 'x'.repeat(20_000))
  await store.set('small', 'value')
  await store.get('large')
  const value = (await store.get('small')) as Buffer
  expect(value.buffer.byteLength).toBeLessThan(100)
})

for (const protocol of ['binary', 'meta'] as const) {
  describe(protocol, () => {
    test('stores text and counters so that other clients can read them', async () => {
      const store = createStore({ protocol })
      await store.set('plain', '{"a":1}')
      expect(await sendText(server.port, 'get plain')).toBe('VALUE plain 0 7\r\n{"a":1}\r\nEND\r\n')
      const key = `count-${protocol}`
      await store.increment(key, 5)
      await store.increment(key, 7)
      expect(await sendText(server.port, `get ${key}`)).toBe(`VALUE ${key} 0 2\r\n12\r\nEND\r\n`)
    })

    test('does not change a value while later values are read', async () => {
      const store = createStore({ protocol })
      const keys = Array.from({ length: 300 }, (_, i) => `unchanged-${i}`)
      const textOf = (key: string) => key.padEnd(1_000, '.')
      await store.setMany(keys.map((key) => [key, textOf(key)]))
      const values = []
      for (const key of keys) values.push(await store.get(key))
      expect(values.map(String)).toEqual(keys.map(textOf))
    })

    test('reads values and counters of other clients', async () => {
      const store = createStore({ protocol })
      await sendText(server.port, 'set other 4 0 3\r\nabc')
      expect(String(await store.get('other'))).toBe('abc')
      await sendText(server.port, 'set shorter 0 0 2\r\n10')
      await sendText(server.port, 'decr shorter 1')
      // The server pads a number that became shorter.
      expect(await sendText(server.port, 'get shorter')).toContain('9 \r\n')
      // The bytes are returned as they are stored. White space is part of JSON text.
      expect(String(await store.get('shorter'))).toBe('9 ')
      expect(await new Cache(store).get('shorter')).toBe(9)
      expect(await store.increment('shorter', -10)).toBe(-1)
      expect(String(await store.get('shorter'))).toBe('-1')
    })

    test('increment() keeps the expiry of a counter', async () => {
      const store = createStore({ protocol })
      const key = `expiry-${protocol}`
      await store.set(key, '-2', 3_600_000)
      for (const by of [1, 5, -9, -100, 105]) await store.increment(key, by)
      expect(String(await store.get(key))).toBe('0')
      const [, ttl] = (await sendText(server.port, `mg ${key} t`)).match(/t(\d+)/) ?? []
      expect(Number(ttl)).toBeGreaterThan(3_500)
    })

    test('stores a ttl of less and of more than 30 days', async () => {
      const store = createStore({ protocol })
      const day = 86_400
      for (const days of [29, 30, 31, 400]) {
        await store.set(`days-${days}`, 'x', days * day * 1_000)
        const [, ttl] = (await sendText(server.port, `mg days-${days} t`)).match(/t(\d+)/) ?? []
        expect(Math.abs(Number(ttl) - days * day)).toBeLessThan(60)
      }
    })

    test('a key with any characters does not end the connection', async () => {
      const store = createStore({ protocol })
      const { keyBytes } = store.limits
      const keys = [
        ' ',
        '\r\nquit\r\n',
        '\0',
        'ü'.repeat(keyBytes / 2),
        ` ${'x'.repeat(keyBytes - 1)}`,
      ]
      for (const key of keys) await store.set(key, key)
      expect((await store.getMany(keys)).map(String)).toEqual(keys)
      expect(await store.deleteMany(keys)).toBe(keys.length)
    })
  })
}

test('uses the item size limit of the server', async () => {
  const small = await startMemcached({ args: ['-I', '512k'] })
  onTestFinished(small.stop)
  const store = createStore({ servers: [small.address] })
  await store.set('k', 'old')
  const { valueBytes } = store.limits
  expect(valueBytes).toBeLessThan(512 * 1024)
  expect(valueBytes).toBeGreaterThan(511 * 1024)
  await store.set('k', 'x'.repeat(valueBytes))
  await expect(store.set('k', 'x'.repeat(valueBytes + 1))).rejects.toMatchObject({
    code: 'ERR_CACHE_LIMIT',
    message: expect.stringMatching(new RegExp(`${valueBytes + 1} .*MEMCACHED_OVERSIZE=chunk`)),
  })
  expect(await store.get('k')).toBeUndefined()
})

describe("oversize: 'chunk'", () => {
  const large = (letter: string) => letter.repeat(3 * mebibyte)

  test('stores, compares, touches and reads a value of several chunks', async () => {
    const store = createStore({ oversize: 'chunk' })
    await store.set('large', large('a'), 60_000)
    expect(String(await store.get('large'))).toBe(large('a'))
    expect(await store.compareAndSet('large', large('b'), 'x')).toBe(false)
    expect(await store.compareAndSet('large', large('a'), large('c'))).toBe(true)
    expect(await store.touch('large', 3_600_000)).toBe(true)
    expect((await store.getMany(['large', 'missing'])).map((each) => each && String(each))).toEqual(
      [large('c'), undefined],
    )
    await expect(store.increment('large', 1)).rejects.toMatchObject({ code: 'ERR_CACHE_REJECTED' })
    expect(await store.add('large', large('d'))).toBe(false)
    expect(await store.delete('large')).toBe(true)
  })

  test('reads a malformed list of chunks as a miss', async () => {
    const store = createStore({ oversize: 'chunk' })
    const lists = ['', 'x 0 0', `${'x'.repeat(24)} 999999999 1`, `${'x'.repeat(24)} 2 2`]
    for (const list of lists) {
      await sendText(server.port, `set list ${0x5702_0000} 0 ${list.length}\r\n${list}`)
      expect(await store.get('list')).toBeUndefined()
    }
  })

  test('reads a value with a missing chunk as a miss', async () => {
    const store = createStore({ oversize: 'chunk' })
    await store.set('incomplete', large('a'))
    const [id] = ((await sendText(server.port, 'get incomplete')).split('\r\n')[1] ?? '').split(' ')
    const withoutChunks = createStore()
    expect(await withoutChunks.delete(`\0${id}:1`)).toBe(true)
    expect(await store.get('incomplete')).toBeUndefined()
    // A store without chunks does not read a list of chunks.
    expect(await withoutChunks.get('incomplete')).toBeUndefined()
  })
})

test('an item does not expire early', async () => {
  // Without the extra second, an item stored just before a tick of the server's clock would expire early.
  const store = createStore()
  const ticks = async () =>
    Number(/STAT time (\d+)/.exec(await sendText(server.port, 'stats'))?.[1])
  const expiredEarly = await Promise.all(
    Array.from({ length: 20 }, async (_, index) => {
      await new Promise((resolve) => setTimeout(resolve, index * 50))
      const before = await ticks()
      await store.set(`lock:${index}`, 'x', 1_000)
      await new Promise((resolve) => setTimeout(resolve, 900))
      const isMissing = (await store.get(`lock:${index}`)) === undefined
      // On a busy machine the ticks are late. Between two of them is a second, or more.
      return isMissing && (await ticks()) - before < 2
    }),
  )
  expect(expiredEarly).not.toContain(true)
})
