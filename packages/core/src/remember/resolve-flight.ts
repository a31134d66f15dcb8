import { CacheError } from '../errors.ts'
import type { Found } from '../freshness/entry-reader.ts'
import type { Claim } from '../leases/claim.ts'
import { Lease, type StaleItem } from '../leases/lease.ts'
import { awaitLease, type LeaseOutcome } from '../leases/lease-wait.ts'
import { LocalClaim, noClaim } from '../leases/local-claim.ts'
import type { Flight, FlightResult } from '../loading/flight.ts'
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
    flight.decodeStale = staleDecoder(job, found)
    const step = await loadOrWait(flight, job, found)
    if ('audience' in step) return step
    found = step
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

/** Returns a function that decodes the stale value, if callers whose timeout passes may receive it. */
function staleDecoder<T>(
  { scope, options }: LoadJob<T>,
  found: Found,
): (() => unknown) | undefined {
  if (found.entry === undefined || found.staleMs >= options.staleWindow) return undefined
  return () => scope.entries.valueOf(found.item)
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
    return loadLocally(flight, job, found)
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
  if (refresh !== undefined) return joinRefresh(flight, job, found, refresh)
  const lease = newLease(job, job.refreshKey, { key: job.key, item: found.item })
  return loadWithLease(flight, job, found, lease, undefined)
}

/** Waits for a refresh in the background of this process. */
async function joinRefresh<T>(
  flight: Flight,
  job: LoadJob<T>,
  found: Found,
  refresh: Flight,
): Promise<FlightResult | Found> {
  // The loader of the refresh would wait for itself.
  if (refresh.leadsTo(flight)) return runLoad(job, { flight, claim: noClaim, found })
  job.group?.release(job.name)
  flight.startWaitingFor(refresh)
  await refresh.join().catch(() => {})
  flight.stopWaitingFor(refresh)
  job.group?.hold(job.name)
  return readAgain(flight, job, found)
}

/** Loads without a lease. The value is stored unless this process writes the key meanwhile. */
async function loadLocally<T>(
  flight: Flight,
  job: LoadJob<T>,
  found: Found,
): Promise<FlightResult> {
  let versions: Versions
  try {
    versions = await createTags(job, found.versions)
  } catch (error) {
    return loadUnkept(flight, job, found, error)
  }
  const claim = new LocalClaim(job.scope.entries.store, flight, found.item)
  return runLoad(job, { flight, claim, found, versions })
}

/** Loads without storing the value after the store has failed. */
function loadUnkept<T>(
  flight: Flight,
  job: LoadJob<T>,
  found: Found,
  error: unknown,
): Promise<FlightResult> {
  if (CacheError.is(error) && error.code === 'ERR_CACHE_CLOSED') throw error
  report(job, error)
  return runLoad(job, { flight, claim: noClaim, found })
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
  let versions: Versions
  try {
    const [isAcquired, created] = await Promise.all([
      lease.acquire(seen),
      createTags(job, found.versions),
    ])
    versions = created
    if (!isAcquired) return leaseRefused(flight, job, found)
  } catch (error) {
    report(job, error)
    // A lease whose outcome is not known may have been stored, so that the value can still replace it.
    const isUnknown = CacheError.is(error) && error.code === 'ERR_CACHE_TIMEOUT'
    const claim: Claim = isUnknown ? lease : noClaim
    return runLoad(job, { flight, claim, found, versions: found.versions })
  }
  return runLoad(job, { flight, claim: lease, found, versions })
}

async function leaseRefused<T>(
  flight: Flight,
  job: LoadJob<T>,
  found: Found,
): Promise<FlightResult | Found> {
  if (found.entry === undefined) return readAgain(flight, job, found)
  return awaitForeignLease(flight, job, found, job.refreshKey)
}

/** Waits while another process loads the value. */
async function awaitForeignLease<T>(
  flight: Flight,
  job: LoadJob<T>,
  found: Found,
  leaseKey: string,
): Promise<FlightResult | Found> {
  let outcome: LeaseOutcome
  try {
    outcome = await awaitOutcome(job, found, leaseKey)
  } catch (error) {
    return loadUnkept(flight, job, found, error)
  }
  if (outcome.kind === 'timeout') return runLoad(job, { flight, claim: noClaim, found })
  if (outcome.kind === 'failed') {
    const stale = staleIfError(job, found)
    if (stale === undefined) throw loadFailedLately(job)
    return stale
  }
  if (outcome.kind !== 'abandoned') return readAgain(flight, job, found)
  const stale = leaseKey === job.key ? undefined : { key: job.key, item: found.item }
  return loadWithLease(flight, job, found, newLease(job, leaseKey, stale), outcome.abandoned)
}

async function awaitOutcome<T>(
  { group, scope, key, name }: LoadJob<T>,
  found: Found,
  leaseKey: string,
): Promise<LeaseOutcome> {
  group?.release(name)
  const outcome = await awaitLease({
    store: scope.entries.store,
    key,
    leaseKey,
    found: found.item,
    timeoutMs: currentLoadOf() === undefined ? Infinity : nestedWaitMs,
    polls: group?.polls,
  })
  group?.hold(name)
  return outcome
}

function newLease<T>({ scope, options }: LoadJob<T>, key: string, stale?: StaleItem): Lease {
  const ms = options.lease ?? 5_000
  return Lease.in(scope.entries.store, key, ms, stale)
}

async function readAgain<T>(
  flight: Flight,
  job: LoadJob<T>,
  found: Found,
): Promise<FlightResult | Found> {
  try {
    return await job.scope.reader.read(job.key, job.options.tags, strongRead)
  } catch (error) {
    return loadUnkept(flight, job, found, error)
  }
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
