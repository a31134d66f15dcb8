import { publishError } from '../channels.ts'
import type { Found } from '../freshness/entry-reader.ts'
import type { Lease } from '../leases/lease.ts'
import { isInLocalBackoff } from '../leases/local-backoff.ts'
import { LocalClaim } from '../leases/local-claim.ts'
import { type Flight, type FlightResult, noResult } from '../loading/flight.ts'
import { strongRead } from '../store.ts'
import { type LoadJob, refreshLease } from './load-job.ts'
import { runInBackground } from './loader.ts'
import { runLoad } from './run-load.ts'

/** How long a process does not try to refresh a value that another one refreshes. */
const refusedMs = 100

/** Refreshes a stale value, unless this process does already. */
export function refreshInBackground<T>(job: LoadJob<T>): void {
  const { flights, activeLoads, passes, waitUntil } = job.scope
  if (flights.findRefresh(job.key) !== undefined || passes.has(job.refreshKey)) return
  if (job.options.lease === undefined && isInLocalBackoff(job.scope, job.key)) return
  const flight = flights.beginRefresh(job.key)
  const work = runInBackground(() => afterCallbacks().then(() => refresh(job, flight)))
  job.group?.addRefresh(job.name, work)
  activeLoads.trackBackground(work)
  waitUntil?.(work)
}

/** Resolves when the callers that receive the stale value in this turn have received it. */
function afterCallbacks(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve))
}

/** Never rejects. */
async function refresh<T>(job: LoadJob<T>, flight: Flight): Promise<void> {
  const { flights } = job.scope
  try {
    flights.end(flight, await refreshIfStale(job, flight))
  } catch (error) {
    publishError(job.scope.entries.event(job.key), error)
    flights.end(flight, noResult)
  }
}

async function refreshIfStale<T>(job: LoadJob<T>, flight: Flight): Promise<FlightResult> {
  const { scope, key, options } = job
  // Another process may have refreshed the value since it was read.
  const found = await scope.reader.read(key, options.tags, strongRead)
  if (found.entry === undefined || found.staleMs < 0) return noResult
  if (job.options.lease === undefined) {
    // Without a lease, only this shows that a caller waits for a load of the value.
    const isLoading = scope.flights.find(key)?.isReading === false
    return isLoading ? noResult : refreshLocally(job, flight, found)
  }
  const lease = refreshLease(job, found.item)
  if (scope.leaseHolders.has(lease.id)) return noResult
  scope.leaseHolders.set(lease.id, flight)
  try {
    return await acquireAndRefresh(job, flight, found, lease)
  } finally {
    scope.leaseHolders.delete(lease.id, flight)
  }
}

/** Refreshes the value in this process, without the knowledge of others. */
async function refreshLocally<T>(
  job: LoadJob<T>,
  flight: Flight,
  found: Found,
): Promise<FlightResult> {
  const versions = await job.scope.root.tags.create(found.versions)
  const claim = new LocalClaim(job.scope.entries.store, flight, found.item, true)
  return runLoad(job, { flight, claim, found, versions, isBackground: true })
}

async function acquireAndRefresh<T>(
  job: LoadJob<T>,
  flight: Flight,
  found: Found,
  lease: Lease,
): Promise<FlightResult> {
  const { root, passes } = job.scope
  const [isAcquired, versions] = await Promise.all([
    lease.acquire(undefined),
    root.tags.create(found.versions),
  ])
  if (isAcquired) return runLoad(job, { flight, claim: lease, found, versions, isBackground: true })
  passes.add(job.refreshKey, refusedMs)
  return noResult
}
