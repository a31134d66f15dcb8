import { AsyncLocalStorage } from 'node:async_hooks'
import { channels } from '../channels.ts'
import { CacheError } from '../errors.ts'
import type { Awaitable } from '../store.ts'
import type { EntryCodec } from '../values/entry-codec.ts'
import type { Flight } from './flight.ts'
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

/** The load whose loader makes a call. */
interface LoadContext {
  readonly flight: Flight
  /** Flights that this load did not join, because they wait for it. */
  readonly bypassed: readonly Flight[]
}

/** Disabled while no loader runs, because on Node 20 an enabled `AsyncLocalStorage` slows down every promise. */
const loadContext = new AsyncLocalStorage<LoadContext>()
let loadsInFlight = 0

/**
 * Waits for the flight of another caller and decodes its item. Two loaders that call `remember` for each other's key
 * would wait forever: the call that would complete such a cycle runs its own loader instead, and stores nothing.
 */
export async function joinFlight<T>(flight: Flight, job: LoadJob<T>): Promise<T> {
  const context = loadContext.getStore()
  if (context === undefined) return awaitFlight(flight, job)
  if (flight.leadsTo(context.flight)) return loadUnshared(flight, context, job)
  context.flight.startWaitingFor(flight)
  try {
    return await awaitFlight(flight, job)
  } finally {
    context.flight.stopWaitingFor(flight)
  }
}

/** Loads the value of a flight, shares it, and stores it unless the key has been written since the flight began. */
export async function loadFlight<T>(
  flight: Flight,
  job: LoadJob<T>,
  shouldStore = true,
): Promise<T> {
  const outer = loadContext.getStore()?.flight
  flight.isLoading = true
  outer?.startWaitingFor(flight)
  try {
    job.ttl() // Throws for an invalid ttl before the load instead of after it.
    const value = await runLoader(job, { flight, bypassed: [] })
    const item = value === undefined ? undefined : job.entries.encode(job.key, value)
    if (shouldStore && item !== undefined && flight.isCurrent) {
      await job.flights.trackWriteBack(job.key, storeItem(job, item))
    }
    flight.resolve(item)
    return item === undefined ? value : job.entries.valueOf<T>(job.key, item)
  } catch (error) {
    flight.reject(error)
    throw error
  } finally {
    job.flights.end(flight)
    outer?.stopWaitingFor(flight)
  }
}

/** Loads a value after a failed read. Does not store it: the write would probably fail too, and delay the caller. */
export async function loadWithoutStore<T>(
  flight: Flight,
  job: LoadJob<T>,
  error: unknown,
): Promise<T> {
  try {
    if (CacheError.is(error) && error.code === 'ERR_CACHE_CLOSED') throw error
    report(job, error)
  } catch (failure) {
    job.flights.end(flight)
    flight.reject(failure)
    throw failure
  }
  return loadFlight(flight, job, false)
}

async function awaitFlight<T>(flight: Flight, { entries, key }: LoadJob<T>): Promise<T> {
  const item = await flight.join()
  if (!flight.isLoading) return entries.decode<T>(key, item) as T
  entries.publishShared(key)
  return item === undefined ? (undefined as T) : entries.valueOf<T>(key, item)
}

async function loadUnshared<T>(
  flight: Flight,
  { flight: current, bypassed }: LoadContext,
  job: LoadJob<T>,
): Promise<T> {
  if (bypassed.includes(flight)) {
    throw new Error('remember() calls itself without end: the loader of a key needs the same key.')
  }
  const value = await runLoader(job, { flight: current, bypassed: [...bypassed, flight] })
  if (value === undefined) return value
  return job.entries.valueOf<T>(job.key, job.entries.encode(job.key, value))
}

async function runLoader<T>(job: LoadJob<T>, context: LoadContext): Promise<T> {
  loadsInFlight++
  try {
    return await loadContext.run(context, () => timedLoad(job))
  } finally {
    loadsInFlight--
    if (loadsInFlight === 0) loadContext.disable()
  }
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

async function storeItem<T>(job: LoadJob<T>, item: unknown): Promise<void> {
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
