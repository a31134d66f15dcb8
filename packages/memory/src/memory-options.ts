import type { ByteSize, Clock } from '@stowage/core'

export interface MemoryOptions {
  /**
   * `'bytes'` stores encoded values, as a networked backend does: development behaves like production, and callers cannot
   * modify each other's values. `'shared'` stores the values themselves, by reference: much faster, but mutating a returned
   * value affects every caller.
   * @default 'bytes'
   */
  readonly values?: 'bytes' | 'shared' | undefined
  /** Maximum number of entries, 10 million at most; above it, entries that are not read are evicted. @default 50_000 */
  readonly maxEntries?: number | undefined
  /**
   * Maximum size of all keys and values; above it, entries that are not read are evicted. Not used with `'shared'`.
   * @default '64MiB'
   */
  readonly maxBytes?: ByteSize | undefined
  /** Largest value. Not used with `'shared'`. @default a quarter of `maxBytes` */
  readonly maxValueBytes?: ByteSize | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
}
