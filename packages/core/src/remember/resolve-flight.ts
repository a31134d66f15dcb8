import { CacheError } from '../errors.ts'
import type { Found } from '../freshness/entry-reader.ts'
import { type FoundEntry, isUnique, makeUnique } from '../freshness/unique-item.ts'
import type { Claim } from '../leases/claim.ts'
import type { Lease } from '../leases/lease.ts'
import { awaitLease, type LeaseOutcome } from '../leases/lease-wait.ts'
import { isInLocalBackoff } from '../leases/local-backoff.ts'
import { LocalClaim, noClaim, withoutValue } from '../leases/local-claim.ts'
import { currentLoadOf } from '../loading/current-load.ts'
import type { Flight, FlightResult, StaleValue } from '../loading/flight.ts'
import { strongRead } from '../store.ts'
import type { Versions } from '../tags/tag-versions.ts'
import type { Mark } from '../values/mark.ts'
import { isSameItem } from '../values/payload.ts'
import { keyLease, type LoadJob, type LoadScope, refreshLease } from './load-job.ts'
import { refreshInBackground } from './refresh.ts'
import { runLoad, staleIfError } from './run-load.ts'
import { report } from './store-value.ts'

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
  try {
    return await findOrLoad(flight, job, first)
  } finally {
    // Otherwise the loads of other keys of the group would wait for this one.
    job.group?.release(job.name)
  }
}

async function findOrLoad<T>(flight: Flight, job: LoadJob<T>, first: Found): Promise<FlightResult> {
  let found = first
  for (let round = 0; round < maxRounds; round++) {
    const source = round === 0 ? 'read' : 'awaited'
    const isOutdated = job.options.refresh && isAsOldAs(first, found)
    if (!isOutdated && isUsable(job, found)) {
      return { item: found.item, source, audience: 'beforeRead' }
    }
    if (round === 0) job.scope.entries.publishRead(job.key, undefined)
    flight.stale = staleValueOf(job, found)
    try {
      const step = await loadOrWait(flight, job, found)
      if ('audience' in step) return step
      found = step
    } catch (error) {
      if (!(error instanceof StoreFailure)) throw error
      report(job, error.cause)
      return loadUnkept(flight, job, found)
    }
  }
  return loadUnkept(flight, job, found)
}

/** Whether the key still contains the value that was found first. */
function isAsOldAs(first: Found, { item, entry }: Found): boolean {
  return isSameItem(item, first.item) || entry?.facts?.isRewritten === true
}

/** Whether the value that was found is returned at once. If it is stale, begins to refresh it. */
export function isUsable<T>(job: LoadJob<T>, { entry, staleMs }: Found): boolean {
  if (staleMs < 0) return true
  if (entry === undefined || staleMs >= job.options.staleWhileRevalidate) return false
  refreshInBackground(job)
  return true
}

/** The stale value, if callers whose timeout passes may receive it. */
function staleValueOf<T>(job: LoadJob<T>, found: Found): StaleValue | undefined {
  const { scope, key, options } = job
  if (found.entry === undefined || found.staleMs >= options.staleWindow) return undefined
  return {
    decode: () => scope.entries.valueOf(key, found.item),
    readAgain: async () =>
      staleValueOf(job, await scope.reader.read(key, options.tags, strongRead)),
  }
}

/** Loads the value, or waits until another process has loaded it. Returns what the key contains then. */
async function loadOrWait<T>(
  flight: Flight,
  job: LoadJob<T>,
  found: Found,
): Promise<FlightResult | Found> {
  const { mark, entry } = found
  if (entry !== undefined) return refreshAndWait(flight, job, { ...found, entry })
  if (mark?.kind === 'F' && !(await isOver(job.scope, mark))) throw loadFailedLately(job)
  if (mark?.kind === 'P' && !(await isOver(job.scope, mark))) {
    job.scope.passes.add(job.key, mark.ms)
    return loadUnkept(flight, job, found)
  }
  if (job.options.lease === undefined || job.scope.entries.store.processLocal === true) {
    return loadLocally(flight, job, found)
  }
  if (mark?.kind === 'L') return awaitForeignLease(flight, job, found)
  const isPassed = found.item === undefined && job.scope.passes.has(job.key)
  if (isPassed) return loadUnkept(flight, job, found)
  return loadWithLease(flight, job, found, keyLease(job), found.item)
}

/** Whether a pass or a failure is over that still exists. */
export async function isOver({ root }: LoadScope, { end }: Mark): Promise<boolean> {
  return end !== undefined && (await root.time.now()) >= end
}

/** Loads the value without a lease, and stores it unless this process has written the key meanwhile. */
async function loadLocally<T>(
  flight: Flight,
  job: LoadJob<T>,
  found: Found,
): Promise<FlightResult> {
  const versions = await fromStore(createTags(job, found.versions))
  const replacesStale = found.entry !== undefined
  const claim = new LocalClaim(job.scope.entries.store, flight, found.item, replacesStale)
  return runLoad(job, { flight, claim, found, versions })
}

/** Loads the value for the callers of this process, and does not store it. */
function loadUnkept<T>(flight: Flight, job: LoadJob<T>, found: Found): Promise<FlightResult> {
  return runLoad(job, { flight, claim: noClaim, found })
}

/** Refreshes an entry that this caller does not use unless the load fails. */
async function refreshAndWait<T>(
  flight: Flight,
  job: LoadJob<T>,
  found: FoundEntry,
): Promise<FlightResult | Found> {
  const refresh = job.scope.flights.findRefresh(job.key)
  if (refresh !== undefined) return awaitHolder(flight, job, found, refresh)
  if (job.options.lease === undefined) {
    return isInLocalBackoff(job.scope, job.key)
      ? staleAfterFailure(flight, job)
      : loadLocally(flight, job, found)
  }
  const unique = isUnique(job.scope.entries, found)
    ? found
    : await fromStore(makeUnique(job.scope, job.key, found))
  if (unique === 'changed') return readAgain(flight, job)
  // The lease replaces the value: without it, a delete would not be noticed.
  if (unique === 'impossible') {
    return loadWithLease(flight, job, found, keyLease(job), found.item)
  }
  return loadWithLease(flight, job, unique, refreshLease(job, unique.item), undefined)
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
  if (holder.leadsTo(flight)) return loadUnkept(flight, job, found)
  job.group?.release(job.name)
  flight.startWaitingFor(holder)
  await holder.join().catch(() => {})
  flight.stopWaitingFor(holder)
  job.group?.hold(job.name)
  return readAgain(flight, job)
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
  const holder = leaseHolders.get(lease.id)
  if (holder !== undefined) return awaitHolder(flight, job, found, holder)
  leaseHolders.set(lease.id, flight)
  try {
    const result = await acquireAndLoad(flight, job, found, lease, seen)
    if (result !== undefined) return result
  } finally {
    leaseHolders.delete(lease.id, flight)
  }
  if (!lease.replacesStale) return readAgain(flight, job)
  return awaitForeignLease(flight, job, found)
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
    const claim = claimAfter(error, lease, found.entry === undefined ? seen : undefined)
    return runLoad(job, { flight, claim, found, versions: found.versions })
  }
  return runLoad(job, { flight, claim: lease, found, versions })
}

/** What a load may do whose lease may or may not have been stored. */
function claimAfter(error: unknown, lease: Lease, unique: unknown): Claim {
  if (!CacheError.is(error) || error.code !== 'ERR_CACHE_TIMEOUT') return noClaim
  // If the lease replaces an item, however late, that item has not been deleted since it was read.
  return lease.replacesStale || unique !== undefined ? lease : withoutValue(lease)
}

/** Waits while another process loads the value. */
async function awaitForeignLease<T>(
  flight: Flight,
  job: LoadJob<T>,
  found: Found,
): Promise<FlightResult | Found> {
  const isStale = found.entry !== undefined
  const lease = isStale ? refreshLease(job, found.item) : keyLease(job)
  const holder = job.scope.leaseHolders.get(lease.id)
  if (holder !== undefined) return awaitHolder(flight, job, found, holder)
  const isOwn = () => job.scope.leaseHolders.has(lease.id)
  const outcome = await awaitOutcome(flight, job, found, isOwn)
  switch (outcome.kind) {
    case 'changed':
      return readAgain(flight, job)
    case 'abandoned':
      return loadWithLease(flight, job, found, lease, outcome.abandoned)
    case 'failed':
      return staleAfterFailure(flight, job)
    default:
      return loadUnkept(flight, job, found)
  }
}

async function awaitOutcome<T>(
  flight: Flight,
  { group, scope, key, refreshKey, name }: LoadJob<T>,
  found: Found,
  isOwn: () => boolean,
): Promise<LeaseOutcome> {
  const isStale = found.entry !== undefined
  group?.release(name)
  const outcome = await fromStore(
    awaitLease({
      store: scope.entries.store,
      key,
      elsewhere: isStale ? { store: scope.root.store, key: refreshKey } : undefined,
      found: found.item,
      timeoutMs: currentLoadOf() === undefined ? Infinity : nestedWaitMs,
      onRead: () => flight.beginRead(),
      isOwn,
      polls: group?.polls,
    }),
  )
  group?.hold(name)
  return outcome
}

/** The stale value after the load of another process has failed. */
async function staleAfterFailure<T>(flight: Flight, job: LoadJob<T>): Promise<FlightResult> {
  // Read again, because the entry may have been invalidated while this flight waited.
  const stale = staleIfError(job, await readAgain(flight, job))
  if (stale === undefined) throw loadFailedLately(job)
  return stale
}

async function readAgain<T>(flight: Flight, { scope, key, options }: LoadJob<T>): Promise<Found> {
  flight.beginRead()
  const found = await fromStore(scope.reader.read(key, options.tags, strongRead))
  flight.endRead()
  return found
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

/** The error of a call during the backoff of a failed load. */
export function loadFailedLately<T>({ scope, key }: LoadJob<T>): CacheError {
  return new CacheError(
    'ERR_CACHE_LOAD',
    'remember failed: the loader failed lately, and is not called again before its backoff ends.',
    { store: scope.entries.store.name, operation: 'remember', key, retryable: true },
  )
}
