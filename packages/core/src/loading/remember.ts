import { channels } from '../channels.ts'
import { CacheError } from '../errors.ts'
import type { Awaitable } from '../store.ts'
import type { EntryCodec } from '../values/entry-codec.ts'
import type { SingleFlight } from './single-flight.ts'

/** The arguments of a load for `remember`. */
export interface LoadJob<T> {
  readonly entries: EntryCodec
  readonly flights: SingleFlight
  /** The storage key. */
  readonly key: string
  /** Evaluated again after the load, because a ttl given as a date shrinks while the loader runs. */
  readonly ttl: () => number | undefined
  readonly load: () => Awaitable<T>
}

/** Loads and stores a value. Concurrent calls for the same key share the load. */
export function loadOnce<T>(job: LoadJob<T>, shouldStore = true): Promise<T> {
  return job.flights.run(job.key, async (isCurrent) => {
    job.ttl() // Throws for an invalid ttl before the load instead of after it.
    const value = await timedLoad(job)
    // Not stored if the key was written or deleted during the load, because the value may be older.
    if (shouldStore && value !== undefined && isCurrent()) await storeLoaded(job, value)
    return value
  })
}

/** Loads a value after a failed read. Does not store it: the write would probably fail too, and delay the caller. */
export function loadWithoutStore<T>(job: LoadJob<T>, error: unknown): Promise<T> {
  if (CacheError.is(error) && error.code === 'ERR_CACHE_CLOSED') throw error
  report(job, error)
  return loadOnce(job, false)
}

async function timedLoad<T>({ entries, key, load }: LoadJob<T>): Promise<T> {
  if (!channels.load.hasSubscribers) return load()
  const start = performance.now()
  try {
    return await load()
  } finally {
    channels.load.publish({ ...entries.event(key), durationMs: performance.now() - start })
  }
}

async function storeLoaded<T>(job: LoadJob<T>, value: T): Promise<void> {
  const item = job.entries.encode(value)
  const ttl = job.ttl()
  if (ttl === 0) return
  try {
    await job.entries.store.set(job.key, item, ttl)
  } catch (error) {
    report(job, error)
  }
}

/** Publishes a failure that `remember` does not throw. Throws errors that are not a `CacheError`. */
function report<T>({ entries, key }: LoadJob<T>, error: unknown): void {
  if (!CacheError.is(error)) throw error
  if (channels.error.hasSubscribers) channels.error.publish({ ...entries.event(key), error })
}
