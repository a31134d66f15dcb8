import zlib from 'node:zlib'
import { expect, test } from 'vitest'
import { type Encoding, encodeBody, supportedEncodings } from '../../src/storage/encodings.ts'

type Decode = (encoded: Uint8Array) => Buffer
const { zstdDecompressSync } = zlib as { zstdDecompressSync?: Decode }
const decoders: Record<Encoding, Decode | undefined> = {
  zstd: zstdDecompressSync,
  br: zlib.brotliDecompressSync,
  gzip: zlib.gunzipSync,
}
const body = Buffer.from('body '.repeat(1_000))

test('the encodings are those of this version of Node, the best one first', () => {
  const known = ['zstd', 'br', 'gzip'] as const
  expect(supportedEncodings).toEqual(known.filter((name) => decoders[name] !== undefined))
})

test.each(supportedEncodings)('a body is encoded as %s', async (encoding) => {
  const encoded = await encodeBody(body, encoding)
  expect(encoded.length).toBeLessThan(body.length / 10)
  expect(decoders[encoding]?.(encoded).equals(body)).toBe(true)
})

test('an encoding that Node does not support is refused', () => {
  expect(() => encodeBody(body, 'compress' as Encoding)).toThrow(
    'This version of Node does not support compress.',
  )
})
