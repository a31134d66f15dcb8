import type { FastBuffer } from './library.ts'

/** Longer keys are encoded by the native function. */
const longestLoop = 64

/**
 * Encodes keys as their UTF-8 bytes, so that the order of keys is the order of their bytes, and keys with a prefix are
 * neighbours.
 */
export const keyEncoder = {
  writeKey(key: string | Uint8Array, target: FastBuffer, position: number): number {
    if (typeof key !== 'string') {
      target.set(key, position)
      return position + key.length
    }
    return key.length < longestLoop
      ? writeShort(key, target, position)
      : position + target.utf8Write(key, position)
  },
  readKey(source: FastBuffer, start: number, end: number): string {
    return source.utf8Slice(start, end)
  },
}

/** A loop is faster than the call of a native function for short ASCII text. */
function writeShort(key: string, target: FastBuffer, position: number): number {
  for (let index = 0; index < key.length; index++) {
    const code = key.charCodeAt(index)
    if (code > 127) return position + target.utf8Write(key, position)
    target[position + index] = code
  }
  return position + key.length
}
