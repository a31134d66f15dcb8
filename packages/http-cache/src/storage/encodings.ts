import { promisify } from 'node:util'
import zlib from 'node:zlib'

/** A content coding of a stored body. */
export type Encoding = 'br' | 'gzip' | 'zstd'

/** Quality 5 of Brotli takes about as long as gzip, and 11 a hundred times as long. */
const brotliQuality = 5

type Compress = (body: Uint8Array) => Promise<Buffer>

const { zstdCompress } = zlib as {
  zstdCompress?: (body: Uint8Array, callback: (error: Error | null, result: Buffer) => void) => void
}
const brotli = promisify(zlib.brotliCompress) as (
  body: Uint8Array,
  options: zlib.BrotliOptions,
) => Promise<Buffer>
const compressors: Readonly<Record<Encoding, Compress | undefined>> = {
  br: (body) =>
    brotli(body, {
      params: {
        [zlib.constants.BROTLI_PARAM_QUALITY]: brotliQuality,
        [zlib.constants.BROTLI_PARAM_SIZE_HINT]: body.byteLength,
      },
    }),
  gzip: promisify(zlib.gzip) as Compress,
  zstd: zstdCompress && (promisify(zstdCompress) as Compress),
}

/** The encodings that this version of Node supports, the best one first. */
export const supportedEncodings: readonly Encoding[] = (['zstd', 'br', 'gzip'] as const).filter(
  (name) => compressors[name] !== undefined,
)

export function encodeBody(body: Uint8Array, encoding: Encoding): Promise<Buffer> {
  const compress = compressors[encoding]
  if (compress === undefined)
    throw new TypeError(`This version of Node does not support ${encoding}.`)
  return compress(body)
}
