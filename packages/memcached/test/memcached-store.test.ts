import { connect } from 'node:net'
import { type MemcachedOptions, memcached } from '@stowage/memcached'
import { type MemcachedServer, startMemcached } from '@stowage/test-servers'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'

const mebibyte = 1024 * 1024
let server: MemcachedServer
const cleanups: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  server = await startMemcached()
})

afterAll(() => server.stop())

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function open(options: MemcachedOptions = {}) {
  const store = memcached({ servers: [server.address], timeout: '5s', ...options })
  cleanups.push(() => store.close())
  return store
}

/** What the server says to a line of text. */
function ask(line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(server.port, '127.0.0.1', () => socket.write(`${line}\r\n`))
    socket.once('error', reject)
    socket.once('data', (reply) => {
      socket.destroy()
      resolve(String(reply))
    })
  })
}

test('a key has one name in both protocols, whatever it is made of', async () => {
  const [binary, meta] = [open({ protocol: 'binary' }), open({ protocol: 'meta' })]
  const keys = [
    'ж'.repeat(94),
    'é'.repeat(125),
    '€'.repeat(83),
    'a'.repeat(250),
    'a b',
    '\u007f ж\n',
  ]
  for (const key of keys) {
    await binary.set(key, 'by binary')
    expect(String(await meta.get(key))).toBe('by binary')
    await meta.delete(key)
    expect(await binary.get(key)).toBeUndefined()
  }
})

test('a small value that is kept holds no more memory than came with it', async () => {
  const store = open()
  await store.set('large', 'x'.repeat(20_000))
  await store.set('small', 'secret of somebody else')
  await store.get('large')
  const kept = (await store.get('small')) as Buffer
  expect(kept.buffer.byteLength).toBeLessThan(100)
})

for (const protocol of ['binary', 'meta'] as const) {
  describe(protocol, () => {
    test('text is stored as it is, for other clients to read', async () => {
      const store = open({ protocol })
      await store.set('plain', '{"a":1}')
      expect(await ask('get plain')).toBe('VALUE plain 0 7\r\n{"a":1}\r\nEND\r\n')
      const key = `count-${protocol}`
      await store.increment(key, 5)
      await store.increment(key, 7)
      expect(await ask(`get ${key}`)).toBe(`VALUE ${key} 0 2\r\n12\r\nEND\r\n`)
    })

    test('a value stays as it is while others are read', async () => {
      const store = open({ protocol })
      const keys = Array.from({ length: 300 }, (_, i) => `kept-${i}`)
      const textOf = (key: string) => key.padEnd(1_000, '.')
      await store.setMany(keys.map((key) => [key, textOf(key)]))
      const kept = []
      for (const key of keys) kept.push(await store.get(key))
      expect(kept.map(String)).toEqual(keys.map(textOf))
    })

    test('what a client of another language stored is read', async () => {
      const store = open({ protocol })
      await ask('set theirs 4 0 3\r\nabc')
      expect(String(await store.get('theirs'))).toBe('abc')
      await ask('set shorter 0 0 2\r\n10')
      await ask('decr shorter 1')
      // The server pads.
      expect(await ask('get shorter')).toContain('9 \r\n')
      expect(String(await store.get('shorter'))).toBe('9')
      expect(await store.increment('shorter', -10)).toBe(-1)
      expect(String(await store.get('shorter'))).toBe('-1')
    })

    test('a counter keeps its expiry, however it is counted', async () => {
      const store = open({ protocol })
      const key = `expiry-${protocol}`
      await store.set(key, '-2', 3_600_000)
      for (const by of [1, 5, -9, -100, 105]) await store.increment(key, by)
      expect(String(await store.get(key))).toBe('0')
      const [, ttl] = (await ask(`mg ${key} t`)).match(/t(\d+)/) ?? []
      expect(Number(ttl)).toBeGreaterThan(3_500)
    })

    test('a date of expiry is beyond 30 days, a span up to it', async () => {
      const store = open({ protocol })
      const day = 86_400
      for (const days of [29, 30, 31, 400]) {
        await store.set(`days-${days}`, 'x', days * day * 1_000)
        const [, ttl] = (await ask(`mg days-${days} t`)).match(/t(\d+)/) ?? []
        expect(Math.abs(Number(ttl) - days * day)).toBeLessThan(60)
      }
    })

    test('no key makes the server hang up', async () => {
      const store = open({ protocol })
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

test('the item limit is the one the server says', async () => {
  const small = await startMemcached({ args: ['-I', '512k'] })
  cleanups.push(small.stop)
  const store = open({ servers: [small.address] })
  await store.set('k', 'old')
  const { valueBytes } = store.limits
  expect(valueBytes).toBeLessThan(512 * 1024)
  expect(valueBytes).toBeGreaterThan(511 * 1024)
  await store.set('k', 'x'.repeat(valueBytes))
  await expect(store.set('k', 'x'.repeat(valueBytes + 1))).rejects.toMatchObject({
    code: 'ERR_CACHE_LIMIT',
    message: expect.stringContaining(`${valueBytes + 1}`),
  })
  expect(await store.get('k')).toBeUndefined()
})

describe("oversize: 'chunk'", () => {
  const large = (letter: string) => letter.repeat(3 * mebibyte)

  test('a value of many items is written, compared, touched and read as one', async () => {
    const store = open({ oversize: 'chunk' })
    await store.set('large', large('a'), 60_000)
    expect(String(await store.get('large'))).toBe(large('a'))
    expect(await store.compareAndSet('large', large('b'), 'x')).toBe(false)
    expect(await store.compareAndSet('large', large('a'), large('c'))).toBe(true)
    expect(await store.touch('large', 3_600_000)).toBe(true)
    expect((await store.getMany(['large', 'none'])).map((each) => each && String(each))).toEqual([
      large('c'),
      undefined,
    ])
    await expect(store.increment('large', 1)).rejects.toMatchObject({ code: 'ERR_CACHE_REJECTED' })
    expect(await store.add('large', large('d'))).toBe(false)
    expect(await store.delete('large')).toBe(true)
  })

  test('a list of parts that is none is a miss', async () => {
    const store = open({ oversize: 'chunk' })
    const lists = ['', 'x 0 0', `${'x'.repeat(24)} 999999999 1`, `${'x'.repeat(24)} 2 2`]
    for (const list of lists) {
      await ask(`set list ${0x5702_0000} 0 ${list.length}\r\n${list}`)
      expect(await store.get('list')).toBeUndefined()
    }
  })

  test('a value of which a part is gone is a miss', async () => {
    const store = open({ oversize: 'chunk' })
    await store.set('torn', large('a'))
    const [id] = ((await ask('get torn')).split('\r\n')[1] ?? '').split(' ')
    const plain = open()
    expect(await plain.delete(`\0${id}:1`)).toBe(true)
    expect(await store.get('torn')).toBeUndefined()
    // A store that takes no parts reads no list of them either.
    expect(await plain.get('torn')).toBeUndefined()
  })
})

test('the expiry of a lock is never early', async () => {
  // Born at the end of a second of the server's clock, an item would live for a fraction of its ttl otherwise.
  const store = open()
  const early = await Promise.all(
    Array.from({ length: 20 }, async (_, index) => {
      await new Promise((resolve) => setTimeout(resolve, index * 50))
      const begun = performance.now()
      await store.set(`lock:${index}`, 'x', 1_000)
      await new Promise((resolve) => setTimeout(resolve, 900))
      const gone = (await store.get(`lock:${index}`)) === undefined
      return gone && performance.now() - begun < 1_000
    }),
  )
  expect(early).not.toContain(true)
})
