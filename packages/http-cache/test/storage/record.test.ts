import { describe, expect, test } from 'vitest'
import {
  bufferOf,
  createFillId,
  decodeRecord,
  encodeRecord,
  headerLinesOf,
} from '../../src/storage/record.ts'
import { recordWith } from './record-with.ts'

const body = Buffer.from('body')

/** A stored item whose first bytes are changed. */
function itemWith(change: (item: Buffer) => unknown, record = recordWith()): Buffer {
  const item = encodeRecord(record, body)
  change(item)
  return item
}

const lines = ['content-type', 'text/plain', 'vary', 'Accept', 'ETag', '"e"']

test('each fill has an id of its own, of 16 characters', () => {
  expect(createFillId()).toMatch(/^[\w-]{16}$/)
  expect(createFillId()).not.toBe(createFillId())
})

describe('a record', () => {
  test('is read as it was stored, with its body and the lines of its headers', () => {
    const record = recordWith()
    const item = encodeRecord(record, body)
    for (let reads = 0; reads < 2; reads++)
      expect(decodeRecord(item)).toEqual({ record, body, lines })
    expect(decodeRecord(new Uint8Array(item))?.body).toEqual(body)
  })

  test('has an empty body, or none if that is stored apart', () => {
    const empty = recordWith({ bodyBytes: 0 })
    expect(decodeRecord(encodeRecord(empty, Buffer.alloc(0)))?.body).toEqual(Buffer.alloc(0))
    const apart = recordWith({ bodyKey: 'k' })
    expect(decodeRecord(encodeRecord(apart))).toEqual({ record: apart, body: undefined, lines })
  })

  test('is decoded once', () => {
    const item = encodeRecord(recordWith(), body)
    expect(decodeRecord(Buffer.from(item))?.record).toBe(decodeRecord(item)?.record)
  })

  test('of Vary has neither a body nor headers', () => {
    const record = { kind: 'vary', fill: createFillId(), names: ['accept'] } as const
    expect(decodeRecord(encodeRecord(record))).toEqual({ record, body: undefined })
  })

  test('begins with a byte that is not ASCII, and the version of its layout', () => {
    const record = recordWith()
    const item = encodeRecord(record, body)
    expect([...item.subarray(0, 2)]).toEqual([0xc8, 1])
    expect(item.toString('latin1', 6, 22)).toBe(record.fill)
    expect(JSON.parse(item.toString('utf8', 22, 22 + item.readUInt32LE(2)))).not.toHaveProperty(
      'fill',
    )
  })
})

describe('what is not a record reads as a miss', () => {
  test.each([
    ['no bytes', undefined],
    ['a text', 'x'.repeat(50)],
    ['less than a head', encodeRecord(recordWith(), body).subarray(0, 21)],
    ['another marker', itemWith((item) => item.writeUInt8(0xc9, 0))],
    ['another version', itemWith((item) => item.writeUInt8(2, 1))],
    ['metadata beyond its end', itemWith((item) => item.writeUInt32LE(item.length - 21, 2))],
    ['metadata that is not JSON', itemWith((item) => item.writeUInt8(0, 22))],
    ['a body that is too short', itemWith(() => {}).subarray(0, -1)],
    ['a body that is too long', Buffer.concat([itemWith(() => {}), body])],
    ['another kind', itemWith(() => {}, recordWith({ kind: 'other' as 'response' }))],
    ['a status that is not sent', itemWith(() => {}, recordWith({ status: 1_000 }))],
    ['a status that is not a number', itemWith(() => {}, recordWith({ status: null as never }))],
    ['a message of two lines', itemWith(() => {}, recordWith({ message: 'a\nb' }))],
  ])('%s', (_, value) => {
    expect(decodeRecord(value)).toBeUndefined()
  })

  test('a head without metadata', () => {
    const item = itemWith((bytes) => bytes.writeUInt32LE(0, 2)).subarray(0, 22)
    expect(decodeRecord(item)).toBeUndefined()
  })

  test('a damaged item of a record that is known', () => {
    const item = encodeRecord({ kind: 'vary', fill: createFillId(), names: ['accept'] })
    expect(decodeRecord(item)).toBeDefined()
    for (const length of [0, 1_000]) {
      const damaged = Buffer.from(item)
      damaged.writeUInt32LE(length, 2)
      expect(decodeRecord(damaged.subarray(0, 22 + length))).toBeUndefined()
    }
  })
})

test('bytes become a Buffer without being copied', () => {
  expect(bufferOf(body)).toBe(body)
  const bytes = new Uint8Array([1, 2, 3]).subarray(1)
  expect(bufferOf(bytes)).toEqual(Buffer.of(2, 3))
  expect(bufferOf(bytes).buffer).toBe(bytes.buffer)
})

test('a response is sent with its validator, and without the headers that no-cache names', () => {
  const headers = { etag: '"stored"', a: ['1', '2'], b: '3', date: 'now' }
  const linesWithout = (omitted: string[], etag: string | undefined = '"e"') =>
    headerLinesOf({ headers, etag, freshness: { omitted } })
  expect(linesWithout([])).toEqual(['a', ['1', '2'], 'b', '3', 'date', 'now', 'ETag', '"e"'])
  expect(linesWithout(['a', 'etag'])).toEqual(['b', '3', 'date', 'now'])
  expect(
    headerLinesOf({ headers, etag: undefined, freshness: { omitted: ['a', 'date'] } }),
  ).toEqual(['b', '3'])
})
