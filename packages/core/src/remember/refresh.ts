import { Lease } from '../leases/lease.ts'
import { type Flight, type FlightResult, noResult } from '../loading/flight.ts'
import type { LoadJob } from './load-job.ts'
import { runInBackground } from './loader.ts'
import { runLoad } from './run-load.ts'
import { publishError } from './store-value.ts'

/** Refreshes a stale value, unless this process does already. */
export function refreshInBackground<T>(job: LoadJob<T>): void {
  const { flights, activeLoads, waitUntil } = job.scope
  if (flights.findRefresh(job.key) !== undefined) return
  const flight = flights.beginRefresh(job.key)
  const work = runInBackground(() => refresh(job, flight))
  job.group?.addRefresh(job.name, work)
  activeLoads.trackBackground(work)
  waitUntil?.(work)
}

/** Never rejects. */
async function refresh<T>(job: LoadJob<T>, flight: Flight): Promise<void> {
  const { flights } = job.scope
  try {
    flights.end(flight, await refreshIfStale(job, flight))
  } catch (error) {
    publishError(job, error)
    flights.end(flight, noResult)
  }
}

async function refreshIfStale<T>(job: LoadJob<T>, flight: Flight): Promise<FlightResult> {
  const { scope, key, options } = job
  // Another process may have refreshed the value since it was read.
  const found = await scope.reader.read(key, options.tags, { consistency: 'strong' })
  if (found.entry === undefined || found.staleMs < 0) return noResult
  const { store } = scope.entries
  const ms = options.lease ?? 5_000
  const lease = Lease.in(store, job.refreshKey, ms, { key, item: found.item })
  const [isAcquired, versions] = await Promise.all([
    lease.acquire(undefined),
    scope.root.tags.create(found.versions),
  ])
  if (!isAcquired) return noResult
  return runLoad(job, { flight, claim: lease, found, versions, isBackground: true })
}
