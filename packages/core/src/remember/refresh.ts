import { AsyncResource } from 'node:async_hooks'
import { publishError } from '../channels.ts'
import type { Found } from '../freshness/entry-reader.ts'
import { noClaim } from '../leases/claims.ts'
import { isInLocalBackoff } from '../leases/hit-for-miss.ts'
import { type Flight, type FlightResult, noResult } from '../loading/single-flight.ts'
import { strongRead } from '../store.ts'
import {
  acquireLease,
  claimLocally,
  type LoadStart,
  refreshLease,
  usesLease,
} from './claim-load.ts'
import type { LoadJob } from './load-job.ts'
import { runLoad } from './run-load.ts'

/** The asynchronous context of loads for which no caller waits: that of no request. */
const background = new AsyncResource('stowage:refresh')
/** How long a process does not try to refresh a value that another one refreshes. */
const refusedMs = 100

/** Runs `work` in an asynchronous context that belongs to no request. */
export function runInBackground<T>(work: () => T): T {
  return background.runInAsyncScope(work)
}

/** The same, when the callers that receive a value in this turn have received it. */
export function runAfterCallers<T>(work: () => Promise<T>): Promise<T> {
  return runInBackground(() => afterCallbacks().then(work))
}

/** Refreshes a stale value, unless this process does already. */
export function refreshInBackground<T>(job: LoadJob<T>): void {
  const { flights, activeLoads, hitForMiss, waitUntil, refreshKeyOf } = job.cache
  if (flights.findRefresh(job.storageKey) !== undefined || hitForMiss.has(refreshKeyOf(job.key)))
    return
  if (job.options.lease === undefined && isInLocalBackoff(job.cache, job.storageKey)) return
  const flight = flights.beginRefresh(job.storageKey)
  const work = runAfterCallers(() => refresh(job, flight))
  job.group?.addRefresh(job.key, work)
  activeLoads.trackBackground(work)
  waitUntil?.(work)
}

function afterCallbacks(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve))
}

/** Never rejects. */
async function refresh<T>(job: LoadJob<T>, flight: Flight): Promise<void> {
  const { flights } = job.cache
  try {
    flights.end(flight, await refreshIfStale(job, flight))
  } catch (error) {
    publishError(job.cache.entries.event(job.storageKey), error)
    flights.end(flight, noResult)
  } finally {
    flight.stopHolding?.()
  }
}

async function refreshIfStale<T>(job: LoadJob<T>, flight: Flight): Promise<FlightResult> {
  const { cache, storageKey, options } = job
  // Another process may have refreshed the value since it was read.
  const found = await cache.reader.read(storageKey, options.tags, strongRead)
  if (found.entry === undefined || found.staleMs < 0) return noResult
  const start = await claimRefresh(job, flight, found)
  return start === undefined ? noResult : runLoad(job, flight, start, true)
}

/** Returns `undefined` if another flight or process refreshes the value. */
async function claimRefresh<T>(
  job: LoadJob<T>,
  flight: Flight,
  found: Found,
): Promise<LoadStart | undefined> {
  const { flights, leaseHolders, hitForMiss, refreshKeyOf } = job.cache
  if (!usesLease(job, found)) {
    // Without a lease, only this shows that a caller waits for a load of the value.
    const isLoading = flights.find(job.storageKey)?.isReading === false
    return isLoading ? undefined : claimLocally(flight, job, found)
  }
  const lease = refreshLease(job, found.item)
  if (leaseHolders.has(lease.id)) return undefined
  const start = await acquireLease(flight, job, found, lease, undefined)
  if (start === undefined) hitForMiss.add(refreshKeyOf(job.key), refusedMs)
  return start?.claim === noClaim ? undefined : start
}
