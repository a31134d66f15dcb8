import { channels } from '../channels.ts'
import { CacheError } from '../errors.ts'
import type { Awaitable } from '../store.ts'
import type { EntryCodec } from '../values/entry-codec.ts'
import type { SingleFlight } from './single-flight.ts'

export interface LoadJob<T> {
  readonly entries: EntryCodec
  readonly flights: SingleFlight
  /** The storage key. */
  readonly key: string
  /** Asked after the load: a ttl given as a date shrinks while the loader runs. */
  readonly ttl: () => number | undefined
  readonly load: () => Awaitable<T>
}

/** Loads once for all who ask meanwhile, and stores what was loaded. */
export function loadOnce<T>(job: LoadJob<T>, storable = true): Promise<T> {
  return job.flights.run(job.key, async (isCurrent) => {
    job.ttl() // A ttl that is none fails before the load, not after it.
    const value = await timedLoad(job)
    // A key that was written or deleted meanwhile keeps what it got: the value may be older.
    if (storable && value !== undefined && isCurrent()) await storeLoaded(job, value)
    return value
  })
}

/** The store failed to answer: load all the same, and do not make the caller wait for a write that would fail too. */
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

/** Publishes a failure the caller of `remember` is spared; throws what is not the backend's fault. */
function report<T>({ entries, key }: LoadJob<T>, error: unknown): void {
  if (!CacheError.is(error)) throw error
  if (channels.error.hasSubscribers) channels.error.publish({ ...entries.event(key), error })
}
