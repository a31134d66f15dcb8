import { type CacheEvent, channels, type LeaseWaitEvent } from '../channels.ts'
import { CacheError } from '../errors.ts'
import type { Found } from '../freshness/entry-reader.ts'
import { type FoundEntry, isUnique, makeUnique } from '../freshness/unique-item.ts'
import { type Claim, Lease, LocalClaim, noClaim, withoutValue } from '../leases/claims.ts'
import { isInLocalBackoff } from '../leases/hit-for-miss.ts'
import { awaitLease, type LeaseOutcome } from '../leases/lease-wait.ts'
import { currentLoadOf } from '../loading/current-load.ts'
import type { Flight } from '../loading/single-flight.ts'
import { strongRead } from '../store.ts'
import type { Versions } from '../tags/tag-versions.ts'
import type { LoadJob } from './load-job.ts'
import { report } from './store-value.ts'

/** How long a loader waits for the load of another process: that one may wait for this process. */
const nestedWaitMs = 1_000
const noVersions: Versions = new Map()

/** How a value is loaded. `unclaimed`: without a claim, because it cannot be kept. `wait`: by another process. */
export type ClaimStep = 'claim' | 'unclaimed' | 'wait'

/** How a load begins. */
export interface LoadStart {
  readonly kind: 'load'
  /** `noClaim`: the value is not stored. */
  readonly claim: Claim
  /** What the key contained before the load. */
  readonly found: Found | undefined
  /** The versions of the tags as they were before the load. */
  readonly versions: Versions
}

/** `found`: what the key contains after a wait. `failed`: the same, and the load of another flight or process has failed. */
export type Outcome = LoadStart | { readonly kind: 'found' | 'failed'; readonly found: Found }

/** Claims the load of a key, or waits for the flight or process that has the claim. */
export async function claimOrWait<T>(
  flight: Flight,
  job: LoadJob<T>,
  found: Found,
  step: ClaimStep,
): Promise<Outcome> {
  if (step === 'unclaimed') return unclaimed(found)
  try {
    return await (step === 'wait' ? awaitProcess : claimLoad)(flight, job, found)
  } catch (error) {
    return unclaimedAfter(error, job, found)
  }
}

/** A load for the callers of this process, whose value is not stored. */
export function unclaimed(found: Found | undefined): LoadStart {
  return { kind: 'load', claim: noClaim, found, versions: noVersions }
}

/**
 * The same after a failed call of the store: the write would probably fail too, and delay the caller.
 *
 * @throws `error` if the store has been closed
 */
export function unclaimedAfter<T>(error: unknown, job: LoadJob<T>, found?: Found): LoadStart {
  if (CacheError.is(error) && error.code === 'ERR_CACHE_CLOSED') throw error
  report(job, error)
  return unclaimed(found)
}

/** Claims the load in the way that the options and the store require. */
async function claimLoad<T>(flight: Flight, job: LoadJob<T>, found: Found): Promise<Outcome> {
  const { entries, flights } = job.cache
  const { entry } = found
  if (entry === undefined) {
    return usesLease(job, found)
      ? takeLease(flight, job, found, keyLease(job), found.item)
      : claimLocally(flight, job, found)
  }
  const refresh = flights.findRefresh(job.storageKey)
  if (refresh !== undefined) return awaitFlight(flight, job, found, refresh)
  if (!usesLease(job, found)) {
    return isInLocalBackoff(job.cache, job.storageKey)
      ? { kind: 'failed', found: await readAgain(flight, job) }
      : claimLocally(flight, job, found)
  }
  const stale: FoundEntry = { ...found, entry }
  const unique = isUnique(entries, stale)
    ? stale
    : await makeUnique(job.cache, job.storageKey, stale)
  if (unique === 'changed') return foundAgain(flight, job)
  // The lease replaces the value: without it, a delete would not be noticed.
  if (unique === 'impossible') return takeLease(flight, job, found, keyLease(job), found.item)
  return takeLease(flight, job, unique, refreshLease(job, unique.item), undefined)
}

/** Without a lease, the value is stored unless this process has written the key meanwhile. */
export async function claimLocally<T>(
  flight: Flight,
  job: LoadJob<T>,
  found: Found,
): Promise<LoadStart> {
  const versions = await createTags(job, found.versions)
  const replacesStale = found.entry !== undefined
  const claim = new LocalClaim(job.cache.entries.store, flight, found.item, replacesStale)
  return { kind: 'load', claim, found, versions }
}

/** Whether a load needs a lease. On a store that other processes do not reach, only the refresh of a stale value does. */
export function usesLease<T>({ cache, options }: LoadJob<T>, { entry }: Found): boolean {
  if (options.lease === undefined) return false
  return entry !== undefined || cache.entries.store.processLocal !== true
}

/** A lease in the key, which contains no value. */
function keyLease<T>({ cache, storageKey, options }: LoadJob<T>): Lease {
  return new Lease(cache.entries.store, storageKey, options.lease as number)
}

/** A lease to refresh the stale value that the key contains. */
export function refreshLease<T>(
  { cache, storageKey, key, options }: LoadJob<T>,
  item: unknown,
): Lease {
  const stale = { store: cache.entries.store, key: storageKey, item }
  return new Lease(cache.root.store, cache.refreshKeyOf(key), options.lease as number, stale)
}

/** Takes the lease if its key contains `seen`. Waits if another flight or process has it. */
async function takeLease<T>(
  flight: Flight,
  job: LoadJob<T>,
  found: Found,
  lease: Lease,
  seen: unknown,
): Promise<Outcome> {
  const { leaseHolders } = job.cache
  const holder = leaseHolders.get(lease.id)
  if (holder !== undefined) return awaitFlight(flight, job, found, holder)
  const start = await acquireLease(flight, job, found, lease, seen)
  if (start !== undefined) return start
  return lease.replacesStale ? awaitProcess(flight, job, found) : foundAgain(flight, job)
}

/** Takes the lease until the flight ends. Returns `undefined` if another process has it. */
export async function acquireLease<T>(
  flight: Flight,
  job: LoadJob<T>,
  found: Found,
  lease: Lease,
  seen: unknown,
): Promise<LoadStart | undefined> {
  const stopHolding = job.cache.leaseHolders.hold(lease.id, flight)
  flight.stopHolding = stopHolding
  const [acquired, created] = await Promise.allSettled([
    lease.acquire(seen),
    createTags(job, found.versions),
  ])
  const versions = created.status === 'fulfilled' ? created.value : found.versions
  if (acquired.status === 'rejected') {
    report(job, acquired.reason)
    const claim = claimAfter(acquired.reason, lease, found.entry === undefined ? seen : undefined)
    return { kind: 'load', claim, found, versions }
  }
  if (acquired.value) {
    // The load goes on, and ends its lease. Its value is only stored if the tags can be created by then.
    if (created.status === 'rejected') report(job, created.reason)
    return { kind: 'load', claim: lease, found, versions }
  }
  stopHolding()
  return undefined
}

/** What a load may do whose lease may or may not have been stored. */
function claimAfter(error: unknown, lease: Lease, unique: unknown): Claim {
  if (!CacheError.is(error) || error.code !== 'ERR_CACHE_TIMEOUT') return noClaim
  // If the lease replaces an item, however late, that item has not been deleted since it was read.
  return lease.replacesStale || unique !== undefined ? lease : withoutValue(lease)
}

/**
 * Waits for another flight of this process. Loads instead, and stores nothing, if that one waits for this flight: the leader
 * of the other flight may have begun before this one, so that neither has joined the other.
 */
async function awaitFlight<T>(
  flight: Flight,
  job: LoadJob<T>,
  found: Found,
  holder: Flight,
): Promise<Outcome> {
  if (holder.reaches(flight)) return unclaimed(found)
  job.group?.release(job.key)
  flight.startWaitingFor(holder)
  await holder.result().catch(ignore)
  flight.stopWaitingFor(holder)
  job.group?.hold(job.key)
  return foundAgain(flight, job)
}

/** Waits while another process loads the value. */
async function awaitProcess<T>(flight: Flight, job: LoadJob<T>, found: Found): Promise<Outcome> {
  const lease = found.entry === undefined ? keyLease(job) : refreshLease(job, found.item)
  const { leaseHolders } = job.cache
  const holder = leaseHolders.get(lease.id)
  if (holder !== undefined) return awaitFlight(flight, job, found, holder)
  const outcome = await awaitOutcome(flight, job, found, () => leaseHolders.has(lease.id))
  switch (outcome.kind) {
    case 'changed':
      return foundAgain(flight, job)
    case 'abandoned':
      return takeLease(flight, job, found, lease, outcome.abandoned)
    case 'failed':
      return { kind: 'failed', found: await readAgain(flight, job) }
    default:
      return unclaimed(found)
  }
}

async function awaitOutcome<T>(
  flight: Flight,
  job: LoadJob<T>,
  found: Found,
  isOwn: () => boolean,
): Promise<LeaseOutcome> {
  const { group, cache, storageKey, key } = job
  const isStale = found.entry !== undefined
  group?.release(key)
  const startedAt = performance.now()
  const outcome = await awaitLease({
    store: cache.entries.store,
    key: storageKey,
    elsewhere: isStale ? { store: cache.root.store, key: cache.refreshKeyOf(key) } : undefined,
    found: found.item,
    timeoutMs: currentLoadOf() === undefined ? Infinity : nestedWaitMs,
    onRead: () => flight.beginRead(),
    isOwn,
    polls: group?.polls,
  })
  publishWait(cache.entries.event(storageKey), outcome, performance.now() - startedAt)
  group?.hold(key)
  return outcome
}

function publishWait(event: CacheEvent, { kind }: LeaseOutcome, durationMs: number): void {
  if (!channels.wait.hasSubscribers) return
  channels.wait.publish({ ...event, outcome: kind, durationMs } satisfies LeaseWaitEvent)
}

async function foundAgain<T>(flight: Flight, job: LoadJob<T>): Promise<Outcome> {
  return { kind: 'found', found: await readAgain(flight, job) }
}

async function readAgain<T>(
  flight: Flight,
  { cache, storageKey, options }: LoadJob<T>,
): Promise<Found> {
  flight.beginRead()
  const found = await cache.reader.read(storageKey, options.tags, strongRead)
  flight.endRead()
  return found
}

function createTags<T>(
  { cache, options }: LoadJob<T>,
  versions: Versions,
): Versions | Promise<Versions> {
  const { tags } = options
  const missing = tags.filter((tag) => versions.get(tag) === undefined)
  if (missing.length === 0) return versions
  return cache.root.tags
    .create(new Map(missing.map((tag) => [tag, undefined])))
    .then((created) => new Map([...versions, ...created]))
}

function ignore(): void {}
