/** Room behind the bytes for the padding of a hash: up to two blocks of 64. */
const padding = 128

/**
 * The UTF-8 bytes of the text that was read last. One buffer serves for all, so that hashing a key allocates nothing;
 * hashing is synchronous, so nobody comes in between.
 */
export let keyBytes: Buffer = Buffer.alloc(4096)
export let keyView: DataView = viewOf(keyBytes)

/** Puts the UTF-8 bytes of `text` into `keyBytes` and returns how many they are. */
export function readKey(text: string): number {
  const { length } = text
  if (length * 3 + padding > keyBytes.length) grow(length * 3 + padding)
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i)
    if (code > 0x7f) return keyBytes.write(text, 0, 'utf8')
    keyBytes[i] = code
  }
  return length
}

function grow(bytes: number): void {
  keyBytes = Buffer.alloc(bytes * 2)
  keyView = viewOf(keyBytes)
}

function viewOf({ buffer, byteOffset, length }: Buffer): DataView {
  return new DataView(buffer, byteOffset, length)
}
