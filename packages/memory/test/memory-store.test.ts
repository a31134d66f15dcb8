import { setTimeout as sleep } from 'node:timers/promises'
import { Cache, CacheError, DriverRegistry } from '@stowage/core'
import { type BatchError, Env } from '@stowage/core/driver'
import driver, { memory } from '@stowage/memory'
import { ManualClock } from '@stowage/testing'
import { describe, expect, onTestFinished, test, vi } from 'vitest'

describe('eviction', () => {
  test('evicts an entry that was not read above maxEntries', () => {
    const store = memory({ maxEntries: 2 })
    store.set('a', '1')
    store.set('b', '2')
    store.get('a')
    store.set('c', '3')
    expect(store.getMany(['a', 'b', 'c'])).toEqual(['1', undefined, '3'])
  })

  test('keeps entries that were read', () => {
    const store = memory({ maxEntries: 10 })
    for (let i = 0; i < 8; i++) store.set(`${i}`, 'v')
    for (const key of ['0', '3']) store.get(key)
    for (const key of ['8', '9', '10', '11', '12']) store.set(key, 'v')
    const remaining = Array.from({ length: 13 }, (_, i) => `${i}`).filter(
      (key) => store.get(key) !== undefined,
    )
    expect(remaining).toEqual(
      ['0', '3', '6', '7', '8', '9', '10', '11', '12'].concat(['5']).sort((a, b) => +a - +b),
    )
  })

  test('evicts above maxBytes of keys and UTF-8 values', () => {
    const store = memory({ maxBytes: 100, maxValueBytes: 100 })
    store.set('a', 'x'.repeat(49))
    store.set('b', 'x'.repeat(49))
    store.set('c', '€'.repeat(16))
    expect(store.getMany(['a', 'b', 'c'])).toEqual([undefined, 'x'.repeat(49), '€'.repeat(16)])
  })

  test('updates the size of a counter that grows', () => {
    const store = memory({ maxBytes: 20, maxValueBytes: 20 })
    for (let i = 0; i < 1_000; i++) store.increment('n', 1_000_000)
    expect(store.get('n')).toBe('1000000000')
  })

  test('setMany stores what fits beside a value that is too large, and says which is', () => {
    const store = memory({ maxValueBytes: 2 })
    store.set('large', 'o')
    const entries = [
      ['a', 'ok'],
      ['large', 'xxx'],
      ['b', 'ok'],
    ] as const
    let failure: unknown
    try {
      store.setMany(entries)
    } catch (error) {
      failure = error
    }
    expect(failure).toMatchObject({ code: 'ERR_CACHE_LIMIT', key: 'large' })
    const statuses = (failure as BatchError).outcomes.map(({ status }) => status)
    expect(statuses).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(store.getMany(['a', 'large', 'b'])).toEqual(['ok', undefined, 'ok'])
  })

  test('rejects a value over maxValueBytes with both sizes, and deletes the old one', () => {
    const store = memory({ maxBytes: '400B' })
    store.set('k', 'old')
    expect(() => store.set('k', 'x'.repeat(101))).toThrow(/101 bytes.*at most 100/)
    expect(store.get('k')).toBeUndefined()
  })
})

test('rejects a value that fits alone but not with its key, instead of dropping it silently', () => {
  const store = memory({ maxBytes: 100, maxValueBytes: 100 })
  expect(() => store.set('key', 'x'.repeat(98))).toThrow(/98 bytes.*at most 97/)
  store.set('key', 'x'.repeat(97))
  expect(store.get('key')).toHaveLength(97)
})

test('rejects a counter that does not fit with its key, instead of starting it anew with each call', () => {
  const store = memory({ maxBytes: 4, maxValueBytes: 2 })
  expect(store.increment('k', 99)).toBe(99)
  expect(() => store.increment('k', 1)).toThrow(/increment failed: the value has 3 bytes/)
  expect(store.get('k')).toBe('99')
  expect(() => store.increment('long', 1)).toThrow(/increment failed/)
})

test('rejects unknown options', () => {
  expect(() => memory({ maxEntires: 10 } as object)).toThrow(
    'memory: unknown option maxEntires. Did you mean maxEntries?',
  )
})

test.each(['007', '+7', '-0', '1e3', ' 7', '7.0'])('%j cannot be incremented', (text) => {
  const store = memory()
  store.set('k', text)
  expect(() => store.increment('k', 1)).toThrow(/not an integer/)
})

describe('isolation', () => {
  test('copies bytes when they are stored', () => {
    const store = memory()
    const bytes = Buffer.from('abc')
    store.set('k', bytes)
    bytes.fill(0)
    expect(Buffer.from(store.get('k') as Uint8Array)).toEqual(Buffer.from('abc'))
  })

  test('returns shared values by reference', async () => {
    const cache = new Cache(memory({ values: 'shared' }))
    const value = { date: new Date(), big: 1n, method: () => 'result' }
    await cache.set('k', value)
    expect(await cache.get('k')).toBe(value)
  })
})

describe('expiry', () => {
  test('does not list, delete or return an expired entry', async () => {
    const clock = new ManualClock()
    const store = memory({ clock })
    store.set('k', 'v', 10)
    await clock.advance(10)
    expect(store.get('k')).toBeUndefined()
    expect(store.delete('k')).toBe(false)
    for await (const page of store.scan?.('') ?? []) expect(page).toEqual([])
  })

  test('expires entries by the system clock while others are read continuously', async () => {
    const store = memory()
    store.set('long', 'v', 3_600_000)
    store.set('short', 'v', 30)
    const deadline = Date.now() + 20_000
    while (store.get('short') !== undefined && Date.now() < deadline) {
      store.get('long')
      await sleep(1)
    }
    expect(store.get('short')).toBeUndefined()
    expect(store.get('long')).toBe('v')
  })

  test('reads the clock for an entry near its expiry, even within one turn', () => {
    const store = memory()
    store.set('long', 'v', 3_600_000)
    store.set('k', 'v', 5)
    store.get('long')
    const end = Date.now() + 10
    while (Date.now() < end);
    expect(store.get('k')).toBeUndefined()
  })

  test('uses a cached time for at most 64 reads within one turn', () => {
    const now = Date.now
    const store = memory()
    store.set('k', 'v', 2_000)
    store.get('k')
    try {
      Date.now = () => now() + 5_000
      const reads = Array.from({ length: 64 }, () => store.get('k'))
      expect(reads.at(-1)).toBeUndefined()
    } finally {
      Date.now = now
    }
  })

  test('starts a ttl at the current time, even late in a turn', () => {
    const now = Date.now
    const store = memory()
    store.set('long', 'v', 3_600_000)
    store.get('long')
    try {
      Date.now = () => now() + 5_000
      store.set('k', 'v', 2_000)
      Date.now = () => now() + 6_500
      for (let read = 0; read < 64; read++) expect(store.get('k')).toBe('v')
    } finally {
      Date.now = now
    }
  })

  test('does not keep the process alive', () => {
    const before = process.getActiveResourcesInfo().sort()
    const store = memory()
    store.set('k', 'v', 60_000)
    store.get('k')
    expect(process.getActiveResourcesInfo().sort()).toEqual(before)
  })
})

test('a test may set the time of the system within a turn', () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  onTestFinished(() => {
    vi.useRealTimers()
  })
  const store = memory()
  store.set('k', 'v', 3_600_000)
  expect(store.get('k')).toBe('v')
  vi.setSystemTime(Date.now() + 3_600_000)
  expect(store.get('k')).toBeUndefined()
})

describe('options', () => {
  test.each([
    { maxEntries: 0 },
    { maxEntries: 10_000_001 },
    { maxBytes: -1 },
    { maxValueBytes: 1.5 },
    { maxEntries: Number.NaN },
  ])('rejects %o', (options) => {
    expect(() => memory(options)).toThrow(CacheError)
  })

  test('reads the limits from the environment, and reports invalid ones', () => {
    const env = new Env({ MEMORY_MAX_ENTRIES: '7', MEMORY_MAX_BYTES: 'plenty' })
    expect(driver.fromEnv(env)).toEqual({ maxEntries: 7, maxBytes: undefined })
    expect(env.problems).toMatchObject([{ variable: 'MEMORY_MAX_BYTES', value: 'plenty' }])
    expect(driver.fromEnv(new Env({ MEMORY_MAX_BYTES: '64MiB' }))).toMatchObject({
      maxBytes: 64 * 1024 * 1024,
    })
  })

  test('exports the driver as its default export', async () => {
    const registry = new DriverRegistry({ memory: () => import('@stowage/memory') })
    expect((await registry.load('memory')).name).toBe('memory')
  })
})
