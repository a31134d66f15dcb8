import { CacheError, type CacheErrorCode, json } from '@stowage/core'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { EntryFacts } from '../../src/entry.ts'
import { type FoundEntry, isUnique, makeUnique } from '../../src/freshness/unique-item.ts'
import type { AnyStore } from '../../src/store.ts'
import type { BackendTime } from '../../src/time/backend-time.ts'
import { StoredEntries } from '../../src/values/stored-entries.ts'

const now = 1_000_000
const seen = Buffer.from('seen')

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }).advanceTimersByTime(100))
afterEach(() => void vi.useRealTimers())

interface Setting {
  readonly payload?: 'bytes' | 'entry'
  /** What `getWithTtl` returns in turn, the last one again and again. It takes 3 ms. */
  readonly found?: readonly ({ readonly ttl: number | undefined } | undefined)[]
  readonly isStored?: boolean
  readonly error?: unknown
  readonly canRead?: boolean
}

function setUp(setting: Setting = {}) {
  const { payload = 'bytes', found = [], isStored = true, error, canRead = true } = setting
  const reads: unknown[] = []
  const swaps: { key: string; expected: unknown; entry: unknown; ttl: unknown }[] = []
  const getWithTtl = async (keys: readonly string[], options: unknown) => {
    const reply = found[Math.min(reads.length, found.length - 1)]
    reads.push([keys, options])
    vi.advanceTimersByTime(3)
    if (error !== undefined) throw error
    return [reply]
  }
  const compareAndSet = async (key: string, expected: unknown, next: unknown, ttl: unknown) => {
    swaps.push({ key, expected, entry: entries.decode(key, next), ttl })
    return isStored
  }
  const store = { name: 'test', payload, compareAndSet, ...(canRead && { getWithTtl }) }
  const entries: StoredEntries = new StoredEntries(
    store as unknown as AnyStore,
    json(),
    'cache',
    '',
  )
  const time = { estimate: async () => now } as BackendTime
  const make = (facts?: EntryFacts) =>
    makeUnique({ entries, root: { time } }, 'k', entryWith(facts))
  return { entries, make, reads, swaps }
}

function entryWith(facts: EntryFacts | undefined, staleMs = -Infinity): FoundEntry {
  const entry = facts === undefined ? { value: 'v' } : { value: 'v', facts }
  return { item: seen, entry, isEntry: true, staleMs, mark: undefined, versions: new Map() }
}

test.each<['bytes' | 'entry', EntryFacts | undefined, number, boolean]>([
  ['entry', undefined, -Infinity, true],
  ['bytes', undefined, -Infinity, false],
  ['bytes', { tags: {} }, -Infinity, false],
  ['bytes', { id: 'x' }, -Infinity, true],
  ['bytes', { freshUntil: now }, -1, false],
  ['bytes', { freshUntil: now }, 0, true],
  ['bytes', { tags: {} }, 5, false],
])(
  'an item of %s with the facts %o, stale for %d ms, is unique: %s',
  (payload, facts, staleMs, isExpected) => {
    expect(isUnique(setUp({ payload }).entries, entryWith(facts, staleMs))).toBe(isExpected)
  },
)

describe('an entry gets an id', () => {
  const id = expect.stringMatching(/^[\w-]{8}$/)

  test('and the rest of its ttl, which it states', async () => {
    const { make, swaps, reads } = setUp({ found: [{ ttl: 500 }] })
    const made = await make()
    const expiresAt = now + 500
    const facts = { id, isRewritten: true, freshUntil: expiresAt, expiresAt }
    const entry = { value: 'v', facts }
    expect(made).toMatchObject({ isEntry: true, entry })
    expect(swaps).toEqual([{ key: 'k', expected: seen, entry, ttl: 497 }])
    expect(reads).toEqual([[['k'], { consistency: 'strong' }]])
  })

  test('and keeps its facts', async () => {
    const { make, swaps } = setUp({ found: [{ ttl: 500.5 }] })
    await make({ freshUntil: now + 100, tags: { t: 'a.a' } })
    const facts = { freshUntil: now + 100, expiresAt: now + 501, tags: { t: 'a.a' }, id }
    expect(swaps[0]?.entry).toEqual({ value: 'v', facts: { ...facts, isRewritten: true } })
    expect(swaps[0]?.ttl).toBe(498)
  })

  test.each([
    ['states', 200, 500, 200],
    ['has in the store', 500, 200, 197],
    ['states, if the store has none', 300, Infinity, 300],
    ['has, but at least a millisecond', 500, 1, 1],
  ])('and the shorter ttl that it %s', async (_, stated, stored, ttl) => {
    const { make, swaps } = setUp({ found: [{ ttl: stored }] })
    await make({ freshUntil: now, expiresAt: now + stated })
    expect(swaps[0]?.ttl).toBe(ttl)
    expect(swaps[0]?.entry).toMatchObject({ facts: { expiresAt: now + stated } })
  })

  test('and no ttl, if it never expires', async () => {
    const { make, swaps } = setUp({ found: [{ ttl: Infinity }] })
    await make()
    expect(swaps).toMatchObject([{ entry: { facts: { isRewritten: true } }, ttl: undefined }])
    expect(swaps[0]?.entry).not.toHaveProperty('facts.expiresAt')
  })

  test('also if the store knows its ttl only at the third attempt', async () => {
    const unknown = { ttl: undefined }
    const { make, reads } = setUp({ found: [unknown, unknown, { ttl: 500 }] })
    expect(await make()).toMatchObject({ isEntry: true })
    expect(reads).toHaveLength(3)
  })
})

describe('an entry gets no id', () => {
  test('if it has changed', async () => {
    expect(await setUp({ found: [{ ttl: 500 }], isStored: false }).make()).toBe('changed')
    const missing = setUp({ found: [undefined] })
    expect([await missing.make(), missing.swaps]).toEqual(['changed', []])
  })

  test('if the store does not know its ttl', async () => {
    const unknown = setUp({ found: [{ ttl: undefined }] })
    expect([await unknown.make(), unknown.reads.length]).toEqual(['impossible', 3])
    expect(await setUp({ canRead: false }).make()).toBe('impossible')
  })

  const errorOf = (code: CacheErrorCode) =>
    new CacheError(code, 'failed', { store: 'test', operation: 'getWithTtl' })

  test.each(['ERR_CACHE_UNSUPPORTED', 'ERR_CACHE_REJECTED', 'ERR_CACHE_LIMIT'] as const)(
    'after %s',
    async (code) => {
      expect(await setUp({ error: errorOf(code) }).make()).toBe('impossible')
    },
  )

  test('and rejects after an error that another attempt may not meet', async () => {
    const unavailable = errorOf('ERR_CACHE_UNAVAILABLE')
    await expect(setUp({ error: unavailable }).make()).rejects.toBe(unavailable)
    const foreign = Object.assign(new Error('foreign'), { code: 'ERR_CACHE_LIMIT' })
    await expect(setUp({ error: foreign }).make()).rejects.toBe(foreign)
  })
})
