/**
 * The bytes of a payload in JSON: as text if they are UTF-8, as `{ repeated, times }` if they are one byte many times, else
 * as `{ base64 }`.
 */
export function toText(payload) {
  const bytes = Buffer.from(payload)
  const [first] = bytes
  if (bytes.length > 1_000 && bytes.every((byte) => byte === first)) {
    return { repeated: String.fromCharCode(first), times: bytes.length }
  }
  const text = bytes.toString()
  return Buffer.from(text).equals(bytes) ? text : { base64: bytes.toString('base64') }
}

export function fromText(text) {
  if (typeof text === 'string') return text
  const { repeated, times, base64 } = text
  return repeated === undefined ? Buffer.from(base64, 'base64') : Buffer.alloc(times, repeated)
}
