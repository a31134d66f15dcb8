import { CacheError } from '../errors.ts'
import type { Found } from '../freshness/entry-reader.ts'
import type { Claim } from '../leases/claim.ts'
import { Lease, type StaleItem } from '../leases/lease.ts'
import { awaitLease } from '../leases/lease-wait.ts'
import { LocalClaim, noClaim, withoutValue } from '../leases/local-claim.ts'
import type { Flight, FlightResult, StaleValue } from '../loading/flight.ts'
import type { Versions } from '../tags/tag-versions.ts'
import type { LoadJob } from './load-job.ts'
import { currentLoadOf } from './loader.ts'
import { refreshInBackground } from './refresh.ts'
import { runLoad, staleIfError } from './run-load.ts'
import { report } from './store-value.ts'

const strongRead = { consistency: 'strong' } as const
/** How long a loader waits for the load of another process: that one may wait for this process. */
const nestedWaitMs = 1_000
/** How often a call tries to take a lease that others take before it. Each time another process makes progress. */
const maxRounds = 100

/** A call of the store has failed, and not the loader: the value is loaded nevertheless. */
class StoreFailure extends Error {}

/** Rejects with a `StoreFailure` if `work` fails, unless the store has been closed. */
async function fromStore<T>(work: Promise<T> | T): Promise<T> {
  try {
    return await work
  } catch (cause) {
    if (CacheError.is(cause) && cause.code === 'ERR_CACHE_CLOSED') throw cause
    throw new StoreFailure('The store failed.', { cause })
  }
}

/** Returns the value that was found, or loads it, or waits for the process that does. */
export async function resolveFlight<T>(
  flight: Flight,
  job: LoadJob<T>,
  first: Found,
): Promise<FlightResult> {
  let found = first
  for (let round = 0; round < maxRounds; round++) {
    const source = round === 0 ? 'read' : 'awaited'
    const isOutdated = job.options.refresh && found.item === first.item
    if (!isOutdated && isUsable(job, found)) return { item: found.item, source, audience: 'all' }
    if (round === 0) job.scope.entries.publishRead(job.key, undefined)
    flight.stale = staleValueOf(job, found)
    try {
      const step = await loadOrWait(flight, job, found)
      if ('audience' in step) return step
      found = step
    } catch (error) {
      if (!(error instanceof StoreFailure)) throw error
      report(job, error.cause)
      return runLoad(job, { flight, claim: noClaim, found })
    }
  }
  return runLoad(job, { flight, claim: noClaim, found })
}

/** Whether the value that was found is returned at once. If it is stale, begins to refresh it. */
function isUsable<T>(job: LoadJob<T>, { entry, staleMs }: Found): boolean {
  if (staleMs < 0) return true
  if (entry === undefined || staleMs >= job.options.staleWhileRevalidate) return false
  refreshInBackground(job)
  return true
}

/** The stale value, if callers whose timeout passes may receive it. */
function staleValueOf<T>(job: LoadJob<T>, found: Found): StaleValue | undefined {
  if (found.entry === undefined || found.staleMs >= job.options.staleWindow) return undefined
  return {
    decode: () => job.scope.entries.valueOf(found.item),
    readAgain: async () => staleValueOf(job, await readAgain(job)),
  }
}

/** Loads the value, or waits until another process has loaded it. Returns what the key contains then. */
async function loadOrWait<T>(
  flight: Flight,
  job: LoadJob<T>,
  found: Found,
): Promise<FlightResult | Found> {
  const { mark, entry } = found
  if (entry !== undefined) return refreshAndWait(flight, job, found)
  if (mark?.kind === 'F') throw loadFailedLately(job)
  if (mark?.kind === 'P') return loadPassed(flight, job, found, mark.ms)
  if (job.options.lease === undefined || job.scope.entries.store.processLocal === true) {
    const claim = new LocalClaim(job.scope.entries.store, flight, found.item)
    return runLoad(job, {
      flight,
      claim,
      found,
      versions: await fromStore(createTags(job, found.versions)),
    })
  }
  if (mark?.kind === 'L') return awaitForeignLease(flight, job, found, job.key)
  if (found.item === undefined && job.scope.passes.has(job.key)) {
    return runLoad(job, { flight, claim: noClaim, found })
  }
  return loadWithLease(flight, job, found, newLease(job, job.key), found.item)
}

/** Refreshes an entry that this caller does not use unless the load fails. */
async function refreshAndWait<T>(
  flight: Flight,
  job: LoadJob<T>,
  found: Found,
): Promise<FlightResult | Found> {
  const { flights } = job.scope
  const refresh = flights.findRefresh(job.key)
  if (refresh !== undefined) return awaitHolder(flight, job, found, refresh)
  const lease = newLease(job, job.refreshKey, { key: job.key, item: found.item })
  return loadWithLease(flight, job, found, lease, undefined)
}

/**
 * Waits for another load of this process. Loads instead, and stores nothing, if that one waits for this flight: the leader
 * of the other flight may have begun before this one, so that neither has joined the other.
 */
async function awaitHolder<T>(
  flight: Flight,
  job: LoadJob<T>,
  found: Found,
  holder: Flight,
): Promise<FlightResult | Found> {
  if (holder.leadsTo(flight)) return runLoad(job, { flight, claim: noClaim, found })
  flight.startWaitingFor(holder)
  await holder.join().catch(() => {})
  flight.stopWaitingFor(holder)
  return readAgain(job)
}

function loadPassed<T>(
  flight: Flight,
  job: LoadJob<T>,
  found: Found,
  ms: number,
): Promise<FlightResult> {
  job.scope.passes.add(job.key, ms)
  return runLoad(job, { flight, claim: noClaim, found })
}

/** Takes the lease and loads. Returns what the key contains if another process has taken it. */
async function loadWithLease<T>(
  flight: Flight,
  job: LoadJob<T>,
  found: Found,
  lease: Lease,
  seen: unknown,
): Promise<FlightResult | Found> {
  const { leaseHolders } = job.scope
  const holder = leaseHolders.get(lease.key)
  if (holder !== undefined) return awaitHolder(flight, job, found, holder)
  leaseHolders.set(lease.key, flight)
  try {
    const step = await acquireAndLoad(flight, job, found, lease, seen)
    if (step !== undefined) return step
  } finally {
    leaseHolders.delete(lease.key)
  }
  return leaseRefused(flight, job, found)
}

/** Returns `undefined` if another process has taken the lease. */
async function acquireAndLoad<T>(
  flight: Flight,
  job: LoadJob<T>,
  found: Found,
  lease: Lease,
  seen: unknown,
): Promise<FlightResult | undefined> {
  let versions: Versions
  try {
    const [isAcquired, created] = await Promise.all([
      lease.acquire(seen),
      createTags(job, found.versions),
    ])
    versions = created
    if (!isAcquired) return undefined
  } catch (error) {
    report(job, error)
    const claim = claimAfter(error, lease, seen)
    return runLoad(job, { flight, claim, found, versions: found.versions })
  }
  return runLoad(job, { flight, claim: lease, found, versions })
}

/** What a load may do whose lease may or may not have been stored. */
function claimAfter(error: unknown, lease: Lease, seen: unknown): Claim {
  if (!CacheError.is(error) || error.code !== 'ERR_CACHE_TIMEOUT') return noClaim
  // If the lease replaces an item, however late, that item has not been deleted since it was read.
  return lease.isGuarded || seen !== undefined ? lease : withoutValue(lease)
}

async function leaseRefused<T>(
  flight: Flight,
  job: LoadJob<T>,
  found: Found,
): Promise<FlightResult | Found> {
  if (found.entry === undefined) return readAgain(job)
  return awaitForeignLease(flight, job, found, job.refreshKey)
}

/** Waits while another process loads the value. */
async function awaitForeignLease<T>(
  flight: Flight,
  job: LoadJob<T>,
  found: Found,
  leaseKey: string,
): Promise<FlightResult | Found> {
  const { store } = job.scope.entries
  const holder = job.scope.leaseHolders.get(leaseKey)
  if (holder !== undefined) return awaitHolder(flight, job, found, holder)
  const timeoutMs = currentLoadOf() === undefined ? Infinity : nestedWaitMs
  const outcome = await fromStore(
    awaitLease({ store, key: job.key, leaseKey, found: found.item, timeoutMs }),
  )
  if (outcome.kind === 'timeout') return runLoad(job, { flight, claim: noClaim, found })
  if (outcome.kind === 'failed') {
    // Read again, because the entry may have been invalidated while this flight waited.
    const stale = staleIfError(job, await readAgain(job))
    if (stale === undefined) throw loadFailedLately(job)
    return stale
  }
  if (outcome.kind !== 'abandoned') return readAgain(job)
  const stale = leaseKey === job.key ? undefined : { key: job.key, item: found.item }
  return loadWithLease(flight, job, found, newLease(job, leaseKey, stale), outcome.abandoned)
}

function newLease<T>({ scope, options }: LoadJob<T>, key: string, stale?: StaleItem): Lease {
  const ms = options.lease ?? 5_000
  return Lease.in(scope.entries.store, key, ms, stale)
}

function readAgain<T>({ scope, key, options }: LoadJob<T>): Promise<Found> {
  return fromStore(scope.reader.read(key, options.tags, strongRead))
}

function createTags<T>(
  { scope, options }: LoadJob<T>,
  versions: Versions,
): Versions | Promise<Versions> {
  const { tags } = options
  if (tags.length === 0) return versions
  const missing = tags.filter((tag) => versions.get(tag) === undefined)
  if (missing.length === 0) return versions
  return scope.root.tags
    .create(new Map(missing.map((tag) => [tag, undefined])))
    .then((created) => new Map([...versions, ...created]))
}

function loadFailedLately<T>({ scope, key }: LoadJob<T>): CacheError {
  return new CacheError(
    'ERR_CACHE_LOAD',
    'remember failed: the loader failed lately, and is not called again before its backoff ends.',
    { store: scope.entries.store.name, operation: 'remember', key, retryable: true },
  )
}
