// What `remember` does in the background: it refreshes stale values, and audits hits.
import { AsyncResource } from 'node:async_hooks'
import type { Audit } from '../audit/audit.ts'
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
import { loadUnstored, runLoad } from './run-load.ts'

/** The asynchronous context of loads for which no caller waits: that of no request. */
const background = new AsyncResource('stowage:refresh')
/** How long a process does not try to refresh a value that another one refreshes. */
const refusedMs = 100

/** Runs `work` in an asynchronous context that belongs to no request. */
export function runInBackground<T>(work: () => T): T {
  return background.runInAsyncScope(work)
}

/** The same, when the callers that receive a value in this turn have received it. */
function runAfterCallers<T>(work: () => Promise<T>): Promise<T> {
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
    flights.end(flight, await readAndRefresh(job, flight))
  } catch (error) {
    publishError(job.cache.entries.event(job.storageKey), error)
    flights.end(flight, noResult)
  } finally {
    flight.stopHolding?.()
  }
}

async function readAndRefresh<T>(job: LoadJob<T>, flight: Flight): Promise<FlightResult> {
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

/** Compares one of many hits with the source. */
export function auditIfSampled<T>(job: LoadJob<T>, found: Found): void {
  const { audit } = job.cache
  if (audit?.isSampled()) auditHit(audit, job, found)
}

/** Compares a hit with the source in the background, if the loader may be called for it now. */
export function auditHit<T>(audit: Audit, job: LoadJob<T>, found: Found): void {
  const { cache, storageKey, key, options } = job
  const { entries, reader, activeLoads, waitUntil } = cache
  if (!options.audit || cache.recovery?.isPrimary === false || !audit.begin()) return
  const event = entries.event(storageKey)
  const hit = {
    name: key,
    event,
    served: entries.valueOf(storageKey, found.item),
    isStale: found.staleMs >= 0,
    load: async () => {
      const loaded = await loadUnstored(job)
      return loaded === undefined
        ? undefined
        : entries.valueOf(storageKey, entries.encode(storageKey, loaded))
    },
    read: async (from: 'any' | 'primary') => {
      const { entry, staleMs } = await reader.read(
        storageKey,
        [],
        from === 'any' ? undefined : strongRead,
      )
      return staleMs < 0 ? entry?.value : undefined
    },
    describe: async () => ({ tags: found.entry?.facts?.tags ?? {}, ttlMs: await ttlOf(job) }),
  }
  const work = runAfterCallers(() => audit.compare(hit)).catch((error) =>
    publishError(event, error),
  )
  activeLoads.trackBackground(work)
  waitUntil?.(work)
}

async function ttlOf<T>({ cache, storageKey }: LoadJob<T>): Promise<number | undefined> {
  const [item] = (await cache.entries.store.getWithTtl?.([storageKey], strongRead)) ?? []
  return item?.ttl
}
