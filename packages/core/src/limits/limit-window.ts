/** A part of the time of the backend, in which the units of a key are counted. */
export interface LimitWindow {
  /** Its number, which is part of its key. */
  readonly number: number
  /** Since its beginning, in milliseconds. */
  readonly elapsedMs: number
  readonly remainingMs: number
}

/**
 * Returns the window of a key at a time. The windows of different keys begin at different times, so that not all callers
 * are allowed again at the same moment; those of a key begin at the same times in all processes.
 */
export function windowAt(now: number, key: string, windowMs: number): LimitWindow {
  const shifted = now + Math.floor(hashOf(key) * windowMs)
  const number = Math.floor(shifted / windowMs)
  const elapsedMs = shifted - number * windowMs
  return { number, elapsedMs, remainingMs: windowMs - elapsedMs }
}

/** A number from 0 to 1 that differs for different keys (FNV-1a). */
function hashOf(key: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < key.length; index++) {
    hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193)
  }
  // The highest bits of FNV-1a hardly depend on the last characters.
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return ((hash ^ (hash >>> 13)) >>> 0) / 2 ** 32
}
