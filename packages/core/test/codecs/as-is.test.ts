import { asIs, Cache } from '@stowage/core'
import type { Entry } from '@stowage/core/driver'
import { encodeFrame, toBytes, toText } from '@stowage/core/driver'
import { referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'

const bytes = asIs()
const text = asIs({ returns: 'text' })
const encode = (entry: Entry, codec = bytes) => toBytes(codec.encode(entry, 'k'))
const anyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))

describe('asIs()', () => {
  test('stores strings and bytes unchanged', () => {
    expect(bytes.encode({ value: '<p>ä</p>' }, 'k')).toBe('<p>ä</p>')
    expect(bytes.encode({ value: anyByte }, 'k')).toBe(anyByte)
    expect(encode({ value: '' })).toEqual(Buffer.alloc(0))
  })

  test('returns bytes as a Buffer, whatever was written', () => {
    expect(bytes.decode(encode({ value: anyByte }), 'k')).toEqual({ value: anyByte })
    expect(bytes.decode(encode({ value: 'ä' }), 'k')).toEqual({ value: Buffer.from('ä') })
    expect(bytes.decode('ä', 'k')).toEqual({ value: Buffer.from('ä') })
  })

  test('with returns: text, returns strings, whatever was written', () => {
    for (const value of ['ä', Buffer.from('ä')]) {
      expect(text.decode(encode({ value }, text), 'k')).toEqual({ value: 'ä' })
    }
  })

  test('returns a copy of the bytes in the payload', () => {
    for (const value of ['abc', '\x01abc']) {
      const payload = encode({ value })
      const entry = bytes.decode(payload, 'k') as { value: Buffer }
      entry.value.fill(0)
      expect(bytes.decode(payload, 'k')).toEqual({ value: Buffer.from(value) })
    }
  })

  test.each([
    ['the marker of a frame', '\x01'],
    ['the bytes of a mark', '\x01\x02Labc.1'],
    ['a frame', toText(encodeFrame({ body: '1' }))],
    ['a frame of itself', toText(encode({ value: '\x01' }))],
    ['the bytes of a compressed payload', '\x01\x03\x01'],
  ])('frames a value that begins with %s', (_, value) => {
    for (const codec of [bytes, text]) {
      const payload = encode({ value }, codec)
      expect(payload.subarray(0, 2)).toEqual(Buffer.from([1, 1]))
      expect(codec.decode(payload, 'k')).toEqual({ value: codec === text ? value : toBytes(value) })
    }
  })

  test('frames an entry with facts', () => {
    const facts = { freshUntil: 17, tags: { users: 'v1' } }
    expect(text.decode(encode({ value: 'a', facts }), 'k')).toEqual({ value: 'a', facts })
    expect(bytes.decode(encode({ value: 'a', facts }), 'k')).toEqual({ value: toBytes('a'), facts })
  })

  test.each([null, 1, true, {}, [], new Date(0), undefined, 1n])('rejects %o', (value) => {
    expect(() => bytes.encode({ value }, 'k')).toThrow(/must be a string or bytes/)
  })

  test('rejects text that UTF-8 cannot represent', () => {
    expect(() => bytes.encode({ value: 'a\ud800' }, 'k')).toThrow(/lone surrogate/)
    expect(() => text.encode({ value: Buffer.from([0xff]) }, 'k')).toThrow(/not UTF-8/)
    expect(text.decode(Buffer.from([0xff]), 'k')).toBeUndefined()
    expect(bytes.decode(Buffer.from([0xff]), 'k')).toEqual({ value: Buffer.from([0xff]) })
  })

  test.each([
    '\x01',
    '\x01\x01',
    '\x01\x01\x00x',
    '\x01\x01{"as":"structured"}\x00x',
    '\x01\x01{\x00x',
    '\x01\x02L',
    '\x01\x7f{"as":"bytes"}\x00x',
  ])('reads the foreign payload %j as a miss', (payload) => {
    expect(bytes.decode(payload, 'k')).toBeUndefined()
    expect(text.decode(toBytes(payload), 'k')).toBeUndefined()
  })

  test('rejects unknown options', () => {
    expect(() => asIs({ returns: 'string' as 'text' })).toThrow(
      'returns must be one of bytes, text',
    )
    expect(() => asIs({ as: 'text' } as never)).toThrow('unknown option as')
  })

  test('of one kind is one object, so that caches share their loads', () => {
    expect(asIs()).toBe(asIs({ returns: 'bytes' }))
    expect(text).toBe(asIs({ returns: 'text' }))
  })

  test('counters are read as text', async () => {
    const cache = new Cache(referenceStore(), { codec: text })
    expect(await cache.increment('n', 41)).toBe(41)
    expect(await cache.increment('n')).toBe(42)
    expect(await cache.get('n')).toBe('42')
  })
})
