import { describe, expect, test, vi } from 'vitest'
import type { Entry } from '../../src/entry.ts'
import { nearCodec } from '../../src/near/near-codec.ts'
import type { NearValues } from '../../src/near/near-options.ts'
import { resolveNearOptions } from '../../src/near/near-options.ts'
import { DecodedItem } from '../../src/values/stored-entries.ts'
import { TestBus } from './test-bus.ts'

/** A codec whose entries a test determines, and what it was called with. */
function setUp(
  entry: Entry | undefined,
  { values = 'frozen' as NearValues, hasShared = true } = {},
) {
  const calls: unknown[] = []
  const decode = (name: string) => (item: unknown, key: string) => {
    calls.push([name, item, key])
    return entry && { ...entry }
  }
  const base = { encode: () => 'encoded', decode: decode('decode') }
  const shared = hasShared ? { decodeShared: decode('decodeShared') } : {}
  const codec = nearCodec({ ...base, ...shared, counters: false } as never, values)
  return { codec, calls, used: codec }
}

const itemOf = (payload: string | Uint8Array) => new DecodedItem(payload, 4, undefined)
const plain = (value: unknown): Entry => ({ value, facts: undefined }) as Entry
const withFacts = (value: unknown): Entry => ({ value, facts: { freshUntil: 50 } }) as never

describe('a near codec', () => {
  test('decodes other items with the codec of the cache', () => {
    const { codec, calls } = setUp(plain(1))
    expect([codec.counters, codec.encode(plain(1), 'k')]).toEqual([false, 'encoded'])
    expect(codec.decode('bytes', 'k')).toEqual(plain(1))
    expect(codec.decodeShared?.('bytes', 'k')).toEqual(plain(1))
    expect(calls).toEqual(Array(2).fill(['decode', 'bytes', 'k']))
  })

  test('decodes an item once if its value can be shared', () => {
    const { codec, calls } = setUp(plain({ n: 1 }))
    const item = itemOf('text')
    const first = codec.decode(item as never, 'k')
    expect(first).toEqual(plain({ n: 1 }))
    expect(Object.isFrozen(first?.value)).toBe(true)
    expect(codec.decode(item as never, 'k')).toBe(first)
    expect(codec.decodeShared?.(item as never, 'k')).toBe(first)
    expect(calls).toEqual([['decode', 'text', 'k']])
    expect([item.payload, item.value, item.entry]).toEqual([undefined, first?.value, first])
    expect(item.value).toBe(first?.value)
  })

  test('keeps the payload of an entry with facts, and when it is fresh', () => {
    const { codec } = setUp(withFacts({ n: 1 }))
    const item = itemOf('text')
    const entry = codec.decode(item as never, 'k')
    expect([item.entry, item.payload, item.value, item.freshUntil]).toEqual([
      ...[entry, 'text', undefined, 50],
    ])
  })

  test.each<[string, Entry, NearValues]>([
    ['is copied', plain({ n: 1 }), 'copied'],
    ['cannot be frozen', plain(new Date(0)), 'frozen'],
  ])('decodes an item for each caller if its value %s', (_, entry, values) => {
    const { codec, calls } = setUp(entry, { values })
    const item = itemOf('text')
    for (let read = 0; read < 2; read++) expect(codec.decode(item as never, 'k')).toEqual(entry)
    expect(calls).toHaveLength(2)
    expect([item.entry, item.payload]).toEqual([undefined, 'text'])
  })

  test('shares a value that is not frozen', () => {
    const value = { n: 1, at: new Date(0) }
    const { codec } = setUp(plain(value), { values: 'shared' })
    const item = itemOf('text')
    codec.decode(item as never, 'k')
    expect(codec.decode(item as never, 'k')?.value).toBe(value)
    expect(Object.isFrozen(value)).toBe(false)
  })

  test('keeps nothing of an item that it cannot decode', () => {
    for (const values of ['frozen', 'copied', 'shared'] as const) {
      const { codec } = setUp(undefined, { values })
      const item = itemOf('text')
      expect(codec.decode(item as never, 'k')).toBeUndefined()
      expect([item.entry, item.payload]).toEqual([undefined, 'text'])
    }
  })

  test('decodes a copy of the bytes, unless the caller does not modify them', () => {
    const { codec, calls } = setUp(plain(new Uint8Array(1)))
    const item = itemOf(Uint8Array.of(1, 2))
    codec.decode(item as never, 'k')
    const shared = codec.decodeShared?.(item as never, 'k')
    expect(codec.decodeShared?.(item as never, 'k')).toBe(shared)
    const [[, copied], [, same], ...more] = calls as unknown[][] as [unknown[], unknown[]]
    expect([copied, same, more]).toEqual([item.payload, item.payload, []])
    expect(copied).not.toBe(item.payload)
    expect(same).toBe(item.payload)
  })

  test('does not share a value that a caller may modify', () => {
    const { codec, calls } = setUp(withFacts({ n: 1 }))
    const item = itemOf('text')
    for (let read = 0; read < 2; read++) codec.decodeShared?.(item as never, 'k')
    expect(calls).toEqual(Array(2).fill(['decodeShared', 'text', 'k']))
    expect(item.freshUntil).toBe(50)
  })

  test('copies for a caller that shares, where the codec cannot', () => {
    const { codec, calls } = setUp(plain({ n: 1 }), { hasShared: false })
    const item = itemOf('text')
    expect(codec.decodeShared?.(item as never, 'k')).toEqual(plain({ n: 1 }))
    expect(item.entry).toBeUndefined()
    expect(calls).toEqual([['decode', 'text', 'k']])
    item.payload = undefined
    expect(codec.decode(item as never, 'k')).toBeUndefined()
    const sharing = setUp(plain({ n: 1 }))
    expect(sharing.codec.decodeShared?.(item as never, 'k')).toBeUndefined()
    expect([calls.length, sharing.calls.length]).toEqual([1, 0])
  })
})

test('a function creates the bus, which is closed with the cache then', () => {
  const bus = new TestBus()
  expect(resolveNearOptions({ bus })).toMatchObject({ bus, ownsBus: false, ttlMs: 60_000 })
  expect(resolveNearOptions({ bus: () => bus })).toMatchObject({ bus, ownsBus: true })
  const expected = { ttlMs: 1_000, maxEntries: 50_000, bus: undefined, values: 'frozen' }
  expect(resolveNearOptions({})).toMatchObject(expected)
  expect(resolveNearOptions({ ttl: '5s', bus }).ttlMs).toBe(5_000)
})

test('a ttl that was probably meant in seconds is warned of', () => {
  const silent = Symbol.for('stowage.shortTtl')
  const state = globalThis as { [silent]?: true | undefined }
  const before = state[silent]
  const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  try {
    state[silent] = undefined
    resolveNearOptions({ ttl: 10 })
    expect(warn).toHaveBeenCalledWith(expect.stringContaining('near: ttl: 10'), expect.anything())
  } finally {
    state[silent] = before
    warn.mockRestore()
  }
})
