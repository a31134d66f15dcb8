import type { InvalidationBus } from '../bus.ts'
import { type ByteSize, checkBytes } from '../options/byte-size.ts'
import { checkBus } from '../options/check-arguments.ts'
import {
  checkChoice,
  checkInteger,
  checkOptionNames,
  warnOfShortTtl,
} from '../options/check-options.ts'
import { type Duration, milliseconds } from '../time/duration.ts'

/** How a near cache returns values. */
export const nearValues = ['frozen', 'copied', 'shared'] as const
export type NearValues = (typeof nearValues)[number]

/** A cache in the memory of the process, in front of the store. */
export interface NearOptions {
  /**
   * Longest time for which an entry is served, since its read was sent. It ends earlier with the entry in the store, if the
   * driver can read its remaining ttl. Without a bus, other processes' changes are seen after this time.
   * @default '1m' with a bus, '1s' without
   */
  readonly ttl?: Duration | undefined
  /** Maximum number of entries. @default 50_000 */
  readonly maxEntries?: number | undefined
  /**
   * Maximum size of all keys and encoded values. On the heap, an entry takes about 500 bytes
   * more, and objects with many small fields three times as much as their JSON text. @default '64MiB'
   */
  readonly maxBytes?: ByteSize | undefined
  /**
   * Announces the changes of other processes. Nothing is served while it is disconnected. The cache closes the bus that a
   * function returns. @default none
   */
  readonly bus?: InvalidationBus | (() => InvalidationBus) | undefined
  /**
   * `'frozen'`: every caller receives the same value, deeply frozen: mutating it throws. Values that cannot be frozen
   * (bytes, dates, maps, instances of classes) are decoded for each caller. `'copied'`: every value is decoded for each
   * caller. `'shared'`: every caller receives the same value, and mutating it affects the others.
   * @default 'frozen'
   */
  readonly values?: NearValues | undefined
}

export interface ResolvedNearOptions {
  readonly ttlMs: number
  readonly maxEntries: number
  readonly maxBytes: number
  readonly bus: InvalidationBus | undefined
  /** Whether the bus is closed with the cache. */
  readonly ownsBus: boolean
  readonly values: NearValues
}

/** 100 years: the end of an entry is computed from it, which `Infinity` does not permit. */
const maxTtlMs = 100 * 365 * 86_400_000

const optionNames = {
  ttl: true,
  maxEntries: true,
  maxBytes: true,
  bus: true,
  values: true,
} as const

/** @throws CacheError `ERR_CACHE_CONFIG` for invalid options @throws TypeError for unknown options */
export function resolveNearOptions(options: NearOptions): ResolvedNearOptions {
  checkOptionNames('near', options, optionNames)
  const { bus, values = 'frozen', maxEntries = 50_000, maxBytes = '64MiB' } = options
  warnOfShortTtl('near: ttl', options.ttl)
  return {
    ttlMs: Math.min(
      milliseconds(options.ttl ?? (bus === undefined ? '1s' : '1m'), 'near: ttl'),
      maxTtlMs,
    ),
    maxEntries: checkInteger('near: maxEntries', maxEntries, 1, 10_000_000),
    maxBytes: checkBytes('near: maxBytes', maxBytes, 1),
    bus: checkedBus(typeof bus === 'function' ? bus() : bus),
    ownsBus: typeof bus === 'function',
    values: checkChoice('near: values', values, nearValues),
  }
}

function checkedBus(bus: InvalidationBus | undefined): InvalidationBus | undefined {
  checkBus('near: bus', bus)
  return bus
}
