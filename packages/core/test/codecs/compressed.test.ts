import { deflateRawSync, deflateSync } from 'node:zlib'
import {
  asIs,
  Cache,
  type Codec,
  channels,
  compressed,
  json,
  type Payload,
  structured,
} from '@stowage/core'
import { payloadBytes, toBytes } from '@stowage/core/driver'
import { referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { codeOf } from './code-of.ts'

const codec = compressed(json())
const text = (length: number) => 'a'.repeat(length - 2) // The quotes of JSON are 2 bytes.
const compressedStart = Buffer.from([1, 3, 1])
const startOf = (payload: Payload) => toBytes(payload).subarray(0, 3)

/** A codec whose payload is the value itself. */
const raw: Codec = {
  encode: ({ value }) => value as Payload,
  decode: (payload) => ({ value: toBytes(payload) }),
}

describe('compressed()', () => {
  test('compresses payloads of 1 KiB and more', () => {
    expect(codec.encode({ value: text(1023) }, 'k')).toBe(`"${text(1023)}"`)
    const payload = codec.encode({ value: text(1024) }, 'k')
    expect(startOf(payload)).toEqual(compressedStart)
    expect(payloadBytes(payload)).toBeLessThan(50)
    expect(codec.decode(payload, 'k')).toEqual({ value: text(1024) })
  })

  test('counts bytes, not characters', () => {
    const value = 'ä'.repeat(511)
    expect(startOf(codec.encode({ value }, 'k'))).toEqual(compressedStart)
  })

  test('compresses from the size that is given', () => {
    const early = compressed(json(), { from: 100 })
    expect(early.encode({ value: text(99) }, 'k')).toBe(`"${text(99)}"`)
    expect(startOf(early.encode({ value: text(100) }, 'k'))).toEqual(compressedStart)
  })

  test('keeps a payload that does not become smaller', () => {
    const value = crypto.getRandomValues(new Uint8Array(2_000))
    const payload = codec.encode({ value }, 'k')
    expect(payload).toEqual(json().encode({ value }, 'k'))
    expect(codec.decode(payload, 'k')).toEqual({ value: Buffer.from(value) })
  })

  test('compresses facts and bytes', () => {
    const entry = { value: Buffer.alloc(5_000), facts: { freshUntil: 1, tags: { a: 'b' } } }
    const payload = codec.encode(entry, 'k')
    expect(startOf(payload)).toEqual(compressedStart)
    expect(codec.decode(payload, 'k')).toEqual(entry)
  })

  test('does not compress counters, whatever the minimum size', async () => {
    const eager = compressed(json(), { from: 0 })
    expect(eager.encode({ value: 1111111111111111 }, 'k')).toBe('1111111111111111')
    const cache = new Cache(referenceStore(), { codec: eager })
    await cache.set('n', 1111111111111111)
    expect(await cache.increment('n')).toBe(1111111111111112)
    expect(await cache.get('n')).toBe(1111111111111112)
  })

  test('passes the key to the inner codec', () => {
    const keys: string[] = []
    const recording: Codec = {
      encode: (entry, key) => json().encode(entry, String(keys.push(key))),
      decode: (payload, key) => json().decode(payload, String(keys.push(key))),
    }
    const outer = compressed(recording)
    for (const value of ['short', text(5_000)]) {
      expect(outer.decode(outer.encode({ value }, 'name'), 'name')).toEqual({ value })
    }
    expect(keys).toEqual(Array(4).fill('name'))
  })
})

describe('decompression', () => {
  const bomb = (bytes: number, maxOutputLength?: number) =>
    compressed(asIs(), { maxOutputLength }).decode(
      Buffer.concat([compressedStart, deflateSync(Buffer.alloc(bytes))]),
      'k',
    )

  test('is limited to 16 MiB by default', () => {
    expect(bomb(16 * 1024 * 1024)).toBeDefined()
    expect(bomb(16 * 1024 * 1024 + 1)).toBeUndefined()
    expect(bomb(200 * 1024 * 1024)).toBeUndefined()
  })

  test('is limited to the size that is given', () => {
    expect(bomb(1_000, 1_000)).toBeDefined()
    expect(bomb(1_001, 1_000)).toBeUndefined()
    // More than a buffer can have in Node 20.
    expect(bomb(1_001, Number.MAX_SAFE_INTEGER)).toBeDefined()
  })

  test('of a bomb is a miss with an event, not an error', async () => {
    const store = referenceStore()
    const cache = new Cache(store, { name: 'bombs', codec: compressed(json()) })
    await store.set('k', Buffer.concat([compressedStart, deflateSync(Buffer.alloc(20_000_000))]))
    const events: unknown[] = []
    const listener = (event: unknown) => events.push(event)
    channels.corrupt.subscribe(listener)
    expect(await cache.get('k')).toBeUndefined()
    channels.corrupt.unsubscribe(listener)
    expect(events).toEqual([{ cache: 'bombs', store: 'reference', key: 'k' }])
  })

  test('is not needed for values above the limit, which are stored uncompressed', () => {
    const limited = compressed(json(), { maxOutputLength: 2_000 })
    const value = text(2_001)
    expect(limited.encode({ value }, 'k')).toBe(`"${value}"`)
    expect(limited.decode(limited.encode({ value: text(2_000) }, 'k'), 'k')).toEqual({
      value: text(2_000),
    })
  })

  test.each([
    ['truncated', (payload: Buffer) => payload.subarray(0, -1)],
    ['only a header', (payload: Buffer) => payload.subarray(0, 3)],
    ['of an unknown method', (payload: Buffer) => Buffer.concat([Buffer.from([1, 3, 9]), payload])],
    ['with a wrong checksum', (payload: Buffer) => flipped(payload, payload.length - 1)],
    ['without a checksum', () => Buffer.concat([compressedStart, deflateRawSync('"x"')])],
  ])('of a payload that is %s is a miss', (_, damage) => {
    const payload = toBytes(codec.encode({ value: text(3_000) }, 'k'))
    expect(codec.decode(damage(payload), 'k')).toBeUndefined()
  })
})

describe('a payload that the inner codec returns', () => {
  test.each([
    ['looks compressed', '\x01\x03\x01x'],
    ['looks like a mark', '\x01\x02Labc.1'],
    ['looks like a wrapped one', '\x01\x03\x00\x01\x03\x00'],
  ])('and that %s is wrapped', (_, value) => {
    const outer = compressed(raw)
    const payload = outer.encode({ value }, 'k')
    expect(startOf(payload)).toEqual(Buffer.from([1, 3, 0]))
    expect(outer.decode(payload, 'k')).toEqual({ value: toBytes(value) })
  })

  test('may be compressed already', () => {
    const twice = compressed(compressed(json()))
    const value = Array.from({ length: 3_000 }, (_, index) => index % 700)
    expect(twice.decode(twice.encode({ value }, 'k'), 'k')).toEqual({ value })
  })
})

test('counters are supported if the inner codec supports them', () => {
  expect(compressed(structured()).counters).not.toBe(false)
  expect(compressed({ ...json(), counters: false }).counters).toBe(false)
})

test('invalid options are reported', () => {
  const errors = [{ from: -1 }, { from: 1.5 }, { maxOutputLength: 0 }].map((options) =>
    codeOf(() => compressed(json(), options)),
  )
  expect(errors).toEqual(Array(3).fill('ERR_CACHE_CONFIG'))
  expect(() => compressed(json(), { form: 1 } as never)).toThrow('Did you mean from?')
})

function flipped(payload: Buffer, index: number): Buffer {
  const copy = Buffer.from(payload)
  copy[index] = (copy[index] ?? 0) ^ 1
  return copy
}
