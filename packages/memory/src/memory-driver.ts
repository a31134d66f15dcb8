import { type CacheStore, type Payload, systemClock } from '@stowage/core'
import type { ByteStore, Entry, EntryStore, Env } from '@stowage/core/driver'
import { checkBytes, checkInteger, checkOptionNames, type Driver } from '@stowage/core/driver'
import type { MemoryOptions } from './memory-options.ts'
import { MemoryStore } from './memory-store.ts'
import { bytesFormat, sharedFormat } from './value-format.ts'

const defaultMaxEntries = 50_000
// A Map holds 2^24 entries at most, and the keys of recently evicted ones are kept for a while.
const maxEntriesLimit = 10_000_000
const defaultMaxBytes = 64 * 1024 * 1024
const optionNames = {
  values: true,
  maxEntries: true,
  maxBytes: true,
  maxValueBytes: true,
  clock: true,
} as const

/**
 * Creates a store in the memory of this process, which evicts entries that are not read. It stores bytes, or with
 * `values: 'shared'` the values themselves, by reference.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for invalid options
 * @throws TypeError for unknown options
 * @example
 * const cache = new Cache(memory({ maxEntries: 10_000 }))
 * await cache.set('k', { n: 1 }, { ttl: '10m' })
 * await cache.close()
 */
export function memory(options: MemoryOptions & { readonly values: 'shared' }): EntryStore
export function memory(options?: MemoryOptions & { readonly values?: 'bytes' }): ByteStore
export function memory(options?: MemoryOptions): CacheStore
export function memory(options: MemoryOptions = {}): CacheStore {
  checkOptionNames('memory', options, optionNames, 'memory({ maxEntries: 10_000 })')
  const maxEntries = checkInteger(
    'memory: maxEntries',
    options.maxEntries ?? defaultMaxEntries,
    1,
    maxEntriesLimit,
  )
  const clock = options.clock ?? systemClock
  if (options.values === 'shared') {
    return new MemoryStore<'entry', Entry>({
      payload: 'entry',
      format: sharedFormat,
      maxEntries,
      maxBytes: Infinity,
      maxValueBytes: Infinity,
      clock,
    })
  }
  const maxBytes = checkBytes('memory: maxBytes', options.maxBytes ?? defaultMaxBytes, 1)
  const maxValueBytes = checkBytes(
    'memory: maxValueBytes',
    options.maxValueBytes ?? Math.ceil(maxBytes / 4),
    1,
  )
  return new MemoryStore<'bytes', Payload>({
    payload: 'bytes',
    format: bytesFormat,
    maxEntries,
    maxBytes,
    maxValueBytes,
    clock,
  })
}

/**
 * The driver, for a `DriverRegistry`.
 *
 * @example
 * const drivers = new DriverRegistry({ memory: () => import('@stowage/memory') })
 * const caches = await cachesFromEnv({ CACHE_DRIVER: 'memory' }, drivers)
 */
const driver: Driver<MemoryOptions> = {
  name: 'memory',
  create: memory,
  fromEnv: (env: Env) => ({
    maxEntries: env.integer('MEMORY_MAX_ENTRIES', 1, maxEntriesLimit),
    maxBytes: env.bytes('MEMORY_MAX_BYTES'),
  }),
}
export default driver
