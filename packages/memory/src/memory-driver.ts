import {
  type ByteStore,
  CacheError,
  type CacheStore,
  type Driver,
  type Entry,
  type EntryStore,
  type Env,
  type Payload,
  systemClock,
} from '@stowage/core'
import type { MemoryOptions } from './memory-options.ts'
import { MemoryStore } from './memory-store.ts'
import { bytes, shared } from './representation.ts'

const defaultMaxEntries = 50_000
// The LRU reserves its lists when it is made.
const mostEntries = 10_000_000
const defaultMaxBytes = 64 * 1024 * 1024

/** A store in this process: `memory()` keeps bytes, `memory({ values: 'shared' })` keeps references. */
export function memory(options: MemoryOptions & { readonly values: 'shared' }): EntryStore
export function memory(options?: MemoryOptions & { readonly values?: 'bytes' }): ByteStore
export function memory(options?: MemoryOptions): CacheStore
export function memory(options: MemoryOptions = {}): CacheStore {
  const maxEntries = positive('maxEntries', options.maxEntries ?? defaultMaxEntries, mostEntries)
  const clock = options.clock ?? systemClock
  if (options.values === 'shared') {
    const unmeasured = { maxBytes: Infinity, maxValueBytes: Infinity }
    return new MemoryStore<'entry', Entry>({
      payload: 'entry',
      representation: shared,
      maxEntries,
      ...unmeasured,
      clock,
    })
  }
  const maxBytes = positive('maxBytes', options.maxBytes ?? defaultMaxBytes)
  const maxValueBytes = positive('maxValueBytes', options.maxValueBytes ?? Math.ceil(maxBytes / 4))
  return new MemoryStore<'bytes', Payload>({
    payload: 'bytes',
    representation: bytes,
    maxEntries,
    maxBytes,
    maxValueBytes,
    clock,
  })
}

function positive(name: string, value: number, most: number = Number.MAX_SAFE_INTEGER): number {
  if (Number.isSafeInteger(value) && value > 0 && value <= most) return value
  throw new CacheError(
    'ERR_CACHE_CONFIG',
    `memory: ${name} must be a positive integer of at most ${most}, not ${value}.`,
  )
}

const driver: Driver<MemoryOptions> = {
  name: 'memory',
  create: memory,
  fromEnv: (env: Env) => ({
    maxEntries: env.integer('MEMORY_MAX_ENTRIES', 1, mostEntries),
    maxBytes: env.integer('MEMORY_MAX_BYTES', 1),
  }),
}
export default driver
