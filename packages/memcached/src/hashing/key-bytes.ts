/** Space reserved after the key for the padding of a hash: up to two blocks of 64 bytes. */
const paddingBytes = 128

/**
 * The UTF-8 bytes of the key that was encoded last. All hashes share this buffer, so that hashing a key allocates
 * nothing. That is safe because hashing is synchronous.
 */
export let keyBytes: Buffer = Buffer.alloc(4096)
export let keyView: DataView = viewOf(keyBytes)

/** Writes the UTF-8 bytes of `key` to `keyBytes` and returns their number. */
export function encodeKey(key: string): number {
  const { length } = key
  // A UTF-16 code unit takes at most three bytes in UTF-8.
  const minBytes = length * 3 + paddingBytes
  if (minBytes > keyBytes.length) grow(minBytes)
  for (let i = 0; i < length; i++) {
    const code = key.charCodeAt(i)
    if (code > 0x7f) return keyBytes.write(key, 0, 'utf8')
    keyBytes[i] = code
  }
  return length
}

function grow(minBytes: number): void {
  keyBytes = Buffer.alloc(minBytes * 2)
  keyView = viewOf(keyBytes)
}

function viewOf({ buffer, byteOffset, length }: Buffer): DataView {
  return new DataView(buffer, byteOffset, length)
}
