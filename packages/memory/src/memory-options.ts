import type { Clock } from '@stowage/core'

export interface MemoryOptions {
  /**
   * What is kept. `'bytes'`: what a networked backend would keep, so development behaves like production
   * and no caller can change another's value. `'shared'`: the values themselves, by reference; much faster,
   * and whoever changes a value changes it for all.
   * @default 'bytes'
   */
  readonly values?: 'bytes' | 'shared' | undefined
  /** Most entries kept; beyond it the least recently used go. @default 50_000 */
  readonly maxEntries?: number | undefined
  /** Most bytes of keys and values kept, in `'bytes'` mode; beyond it the least recently used go. @default 64 MiB */
  readonly maxBytes?: number | undefined
  /** Largest value taken, in bytes, in `'bytes'` mode. @default a quarter of `maxBytes` */
  readonly maxValueBytes?: number | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
}
