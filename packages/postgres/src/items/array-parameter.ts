/** Object ids of the types of elements. They are the same in all databases. */
const types = { bytea: 17, text: 25, int8: 20, float8: 701 } as const
const headerBytes = 20

/**
 * Returns an array as a parameter in the binary format of the server. The client would write it as text, with escapes, and
 * bytes as two digits each.
 * @see array_recv in src/backend/utils/adt/arrayfuncs.c
 */
export function textArray(texts: readonly (string | Buffer | null)[]): Buffer {
  return encode(types.text, texts)
}

export function bytesArray(values: readonly (Buffer | null)[]): Buffer {
  return encode(types.bytea, values)
}

/** `null` for an element that is `undefined`. */
export function doubleArray(numbers: readonly (number | undefined)[]): Buffer {
  const elements = numbers.map((number) => {
    if (number === undefined) return null
    const bytes = Buffer.allocUnsafe(8)
    bytes.writeDoubleBE(number)
    return bytes
  })
  return encode(types.float8, elements)
}

export function integerArray(numbers: readonly number[]): Buffer {
  const elements = numbers.map((number) => {
    const bytes = Buffer.allocUnsafe(8)
    bytes.writeBigInt64BE(BigInt(number))
    return bytes
  })
  return encode(types.int8, elements)
}

function encode(type: number, elements: readonly (string | Buffer | null)[]): Buffer {
  const sizes = elements.map(sizeOf)
  const total = sizes.reduce((sum, size) => sum + Math.max(0, size) + 4, headerBytes)
  const result = Buffer.allocUnsafe(total)
  result.writeInt32BE(elements.length === 0 ? 0 : 1, 0)
  result.writeInt32BE(sizes.includes(-1) ? 1 : 0, 4)
  result.writeInt32BE(type, 8)
  result.writeInt32BE(elements.length, 12)
  result.writeInt32BE(1, 16)
  let offset = headerBytes
  for (const [index, element] of elements.entries()) {
    const size = sizes[index] as number
    offset = result.writeInt32BE(size, offset)
    if (element === null) continue
    if (typeof element === 'string') result.write(element, offset, size)
    else element.copy(result, offset)
    offset += size
  }
  return elements.length === 0 ? result.subarray(0, 12) : result
}

/** The number of bytes; -1 for `null`, as in the format. */
function sizeOf(element: string | Buffer | null): number {
  if (element === null) return -1
  return typeof element === 'string' ? Buffer.byteLength(element) : element.length
}
