import {
  type ByteStore,
  type CacheStore,
  type Entry,
  type EntryStore,
  type Env,
  type Payload,
  systemClock,
} from '@stowage/core'
import { checkInteger, type Driver } from '@stowage/core/driver'
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
  const maxEntries = checkInteger(
    'memory: maxEntries',
    options.maxEntries ?? defaultMaxEntries,
    1,
    mostEntries,
  )
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
  const maxBytes = checkInteger('memory: maxBytes', options.maxBytes ?? defaultMaxBytes, 1)
  const maxValueBytes = checkInteger(
    'memory: maxValueBytes',
    options.maxValueBytes ?? Math.ceil(maxBytes / 4),
    1,
  )
  return new MemoryStore<'bytes', Payload>({
    payload: 'bytes',
    representation: bytes,
    maxEntries,
    maxBytes,
    maxValueBytes,
    clock,
  })
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
