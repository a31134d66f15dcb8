import { BoundedMap, type BoundedMapOptions } from '@stowage/core/internal'
import { propertySeed } from '@stowage/test-servers'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

fc.configureGlobal({ seed: propertySeed() })

function createMap(options: Partial<BoundedMapOptions> = {}) {
  return new BoundedMap<string>({
    maxEntries: Infinity,
    maxBytes: Infinity,
    expiry: { isPast: () => false },
    ...options,
  })
}

function put(map: BoundedMap<string>, keys: string, size = 1): void {
  for (const key of keys) map.set(key, key, size, Infinity)
}

function contents(map: BoundedMap<string>): string {
  return [...map.keys()].sort().join('')
}

describe('eviction', () => {
  test('evicts the oldest entry that was not read', () => {
    const map = createMap({ maxEntries: 3 })
    put(map, 'abc')
    map.get('a')
    put(map, 'd')
    expect(contents(map)).toBe('acd')
  })

  test('goes on where the last search ended, and gives up entries that were not read since', () => {
    const map = createMap({ maxEntries: 3 })
    put(map, 'abc')
    for (const key of 'abc') map.get(key)
    put(map, 'd') // HitForMiss all three and evicts a.
    put(map, 'e')
    expect(contents(map)).toBe('cde')
  })

  test('keeps entries that are read again and again during a scan of others', () => {
    const map = createMap({ maxEntries: 10 })
    put(map, 'abc')
    for (let i = 0; i < 1_000; i++) {
      for (const key of 'abc') expect(map.get(key)).toBe(key)
      map.set(`scan${i}`, 'x', 1, Infinity)
    }
  })

  test('counts an entry as read that is set again soon after its eviction', () => {
    const map = createMap({ maxEntries: 4 })
    put(map, 'abcdea') // Evicts a, and b when a returns.
    put(map, 'fg') // Evict c and d.
    put(map, 'hi') // Evict e, and f instead of a, which counts as read.
    expect(map.has('a')).toBe(true)
  })

  test('keeps a part of the entries of a loop that is longer than the map', () => {
    const map = createMap({ maxEntries: 100 })
    const hits = () => {
      let count = 0
      for (let key = 0; key < 130; key++)
        if (map.get(`${key}`) === undefined) map.set(`${key}`, 'x', 1, Infinity)
        else count++
      return count
    }
    for (let i = 0; i < 50; i++) hits()
    expect(hits()).toBeGreaterThan(80)
  })

  test('does not count has() as a read', () => {
    const map = createMap({ maxEntries: 2 })
    put(map, 'ab')
    map.has('a')
    put(map, 'c')
    expect(contents(map)).toBe('bc')
  })

  test('evicts as many entries as a large one needs', () => {
    const map = createMap({ maxBytes: 10 })
    put(map, 'abcde', 2)
    put(map, 'f', 7)
    expect([contents(map), map.bytes]).toEqual(['ef', 9])
  })

  test.each([
    [3, false],
    [4, true],
  ])('keeps an entry of 32 times the mean size that was read %i times: %o', (reads, isKept) => {
    const map = createMap({ maxBytes: 20_000 })
    map.set('large', 'x', 640, Infinity)
    fillUp(map, 20)
    for (let i = 0; i < reads; i++) map.get('large')
    map.set('next', 'x', 20, Infinity)
    expect(map.has('large')).toBe(isKept)
  })

  test('keeps any entry that was read if only the number of entries is exceeded', () => {
    const map = createMap({ maxEntries: 40, maxBytes: 20_000 })
    map.set('large', 'x', 10_000, Infinity)
    for (let i = 0; i < 39; i++) map.set(`key${i}`, 'x', 20, Infinity)
    map.get('large')
    map.set('next', 'x', 20, Infinity)
    expect(map.has('large')).toBe(true)
  })

  test('evicts others, not the entry itself, if an entry grows', () => {
    const map = createMap({ maxBytes: 10 })
    put(map, 'ab', 2)
    put(map, 'a', 10)
    expect([contents(map), map.bytes, map.size]).toEqual(['a', 10, 1])
  })
})

describe('expiry', () => {
  test('neither returns nor deletes an expired entry, and evicts it first', () => {
    let now = 0
    const map = createMap({ maxEntries: 3, expiry: { isPast: (time) => time <= now } })
    map.set('a', 'a', 1, Infinity)
    map.set('b', 'b', 1, 10)
    map.set('c', 'c', 1, 10)
    for (const key of 'abc') map.get(key)
    now = 10
    put(map, 'd')
    expect(contents(map)).toBe('acd')
    expect([map.has('c'), map.delete('c'), map.get('c'), map.size]).toEqual([
      false,
      false,
      undefined,
      2,
    ])
  })

  test('allows to change the expiry', () => {
    let now = 0
    const map = createMap({ expiry: { isPast: (time) => time <= now } })
    map.set('a', 'a', 1, 10)
    const entry = map.find('a')
    if (entry !== undefined) entry.expiresAt = 20
    now = 15
    expect(map.get('a')).toBe('a')
    now = 20
    expect(map.get('a')).toBeUndefined()
  })
})

test('contains what was set last, within its limits, whatever the calls', () => {
  const call = fc.record({
    op: fc.constantFrom('get', 'set', 'set', 'set', 'delete', 'clear'),
    key: fc.constantFrom(...'abcdefghijklmnop'),
    size: fc.integer({ min: 0, max: 9 }),
  })
  fc.assert(
    fc.property(fc.array(call, { maxLength: 300 }), fc.boolean(), (calls, isBySize) => {
      const map = createMap(isBySize ? { maxBytes: 20 } : { maxEntries: 5 })
      const model = new Map<string, { value: string; size: number }>()
      calls.forEach(({ op, key, size }, index) => {
        if (op === 'get') expect([undefined, model.get(key)?.value]).toContain(map.get(key))
        else if (op === 'clear') clearBoth(map, model)
        else if (op === 'delete') {
          if (map.delete(key)) expect(model.has(key)).toBe(true)
          model.delete(key)
        } else {
          map.set(key, `${index}`, size, Infinity)
          model.set(key, { value: `${index}`, size })
          expect(map.get(key)).toBe(`${index}`)
        }
        const keys = [...map.keys()]
        const bytes = keys.reduce((sum, each) => sum + (model.get(each)?.size ?? Number.NaN), 0)
        expect([map.size, map.bytes]).toEqual([keys.length, bytes])
        expect(isBySize ? map.bytes <= 20 : map.size <= 5).toBe(true)
      })
    }),
  )
})

test.each([
  ['d', 'value'],
  ['c', 'value'],
  ['b', undefined],
])('keeps the keys of half as many evicted entries at most: %s', (key, expected) => {
  const map = createMap({ maxEntries: 6 })
  // Evicts a, b, c and d. The keys of the last two are kept: of five entries, while the next one is stored.
  for (const each of 'abcdefghij') map.set(each, 'value', 1, Infinity)
  // Counts as read if its key is known. Then the hand passes it once.
  map.set(key, 'value', 1, Infinity)
  for (const each of 'klmnop') map.set(each, 'value', 1, Infinity)
  expect(map.get(key)).toBe(expected)
})

/** Adds entries of this size until nothing more fits. */
function fillUp(map: BoundedMap<string>, size: number): void {
  for (let i = 0; map.bytes + size <= 20_000; i++) map.set(`key${i}`, 'x', size, Infinity)
}

function clearBoth(map: BoundedMap<string>, model: Map<string, unknown>): void {
  map.clear()
  model.clear()
}
