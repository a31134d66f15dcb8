import { toBytes } from '@stowage/core/driver'
import { describe, expect, test } from 'vitest'
import { chunkKeys, isChunkKey } from '../../src/large-values/chunks.ts'
import {
  decodeManifest,
  encodeManifest,
  hasMarker,
  pack,
  unpack,
} from '../../src/large-values/packing.ts'

const marker = 0x02
const id = 'abcdefghijkl-_12'
const manifest = { id, chunks: 2 }
const manifestOf = (value: unknown) =>
  Buffer.concat([Buffer.of(marker, 2), Buffer.from(JSON.stringify(value))])

describe('a payload', () => {
  const long = 'a'.repeat(1_000)

  test('is compressed from the threshold on', () => {
    expect(pack(long, 1_001)).toBe(long)
    const packed = pack(long, 1_000) as Buffer
    expect([...packed.subarray(0, 2)]).toEqual([marker, 1])
    expect(packed.length).toBeLessThan(100)
    expect(unpack(packed, 1_000).toString()).toBe(long)
    expect(unpack(packed, Number.MAX_SAFE_INTEGER).toString()).toBe(long)
  })

  test('is not compressed if that makes it no smaller', () => {
    expect(pack('abc', 1)).toBe('abc')
    // The first ones that become smaller, with the two bytes of the marker.
    const sizes = Array.from({ length: 40 }, (_, index) => index)
    for (const size of sizes) expect(pack('a'.repeat(size), 0).length).toBeLessThanOrEqual(size)
    const changed = sizes.filter((size) => typeof pack('a'.repeat(size), 0) !== 'string')
    for (const size of changed) expect(pack('a'.repeat(size), 0).length).toBeLessThan(size)
  })

  test('that begins like a packed one is stored with a marker in front', () => {
    const bytes = Buffer.of(marker, 1, 7)
    expect(pack(bytes, 100)).toEqual(Buffer.of(marker, 0, marker, 1, 7))
    expect(unpack(pack(bytes, 100), 100)).toEqual(bytes)
    expect(unpack(pack('\u0002x', 100), 100).toString()).toBe('\u0002x')
    expect([bytes, '\u0002x', Buffer.of(1, marker), 'x', ''].map(hasMarker)).toEqual([
      true,
      true,
      false,
      false,
      false,
    ])
  })

  test('that is not packed, or damaged, is returned unchanged', () => {
    for (const payload of [
      'text',
      Buffer.of(1, 0, 7),
      Buffer.of(1, 1),
      Buffer.of(marker, 3, 7),
      Buffer.of(marker, 1, 7),
    ])
      expect(unpack(payload, 100)).toBe(payload)
    const packed = pack(long, 1)
    expect(unpack(packed, 999)).toBe(packed)
    const ofOtherKind = Buffer.concat([Buffer.of(marker, 3), toBytes(packed).subarray(2)])
    expect(unpack(ofOtherKind, 1_000)).toBe(ofOtherKind)
  })
})

describe('a manifest', () => {
  test('is decoded as it was encoded', () => {
    expect(encodeManifest(manifest)).toEqual(manifestOf(manifest))
    expect(decodeManifest(encodeManifest(manifest))).toEqual(manifest)
    expect(decodeManifest(manifestOf({ id, chunks: 10_000 }))).toEqual({ id, chunks: 10_000 })
  })

  test.each([
    ['nothing', undefined],
    ['a text', 'text'],
    ['bytes without a marker', manifestOf(manifest).subarray(2)],
    [
      'a compressed value',
      Buffer.concat([Buffer.of(marker, 1), Buffer.from('{"id":"","chunks":1}')]),
    ],
    ['what is not JSON', Buffer.of(marker, 2, 0x7b)],
    ['null', manifestOf(null)],
    ['an id that is not a text', manifestOf({ id: 1, chunks: 1 })],
    ['a number that is not an integer', manifestOf({ id, chunks: 1.5 })],
    ['too many chunks', manifestOf({ id, chunks: 10_001 })],
  ])('is not %s', (_, payload) => {
    expect(decodeManifest(payload)).toBeUndefined()
    expect(chunkKeys('k', payload)).toEqual([])
  })

  test('names the keys of its chunks, which no other keys look like', () => {
    const keys = chunkKeys('k', encodeManifest(manifest))
    expect(keys).toEqual([`k\0chunk:${id}:0`, `k\0chunk:${id}:1`])
    expect(keys.every(isChunkKey)).toBe(true)
    expect(['k', `k\0chunk:${id}:x`, `k\0chunk:${id}`, `chunk:${id}:0`].some(isChunkKey)).toBe(
      false,
    )
  })
})
