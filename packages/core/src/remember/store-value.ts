import { publishError } from '../channels.ts'
import type { EntryFacts } from '../entry.ts'
import { CacheError, type CacheErrorCode } from '../errors.ts'
import { type Claim, endMark, type LoadEnd, noClaim } from '../leases/claims.ts'
import type { RecordingContext } from '../loading/load-context.ts'
import type { Flight, FlightResult } from '../loading/single-flight.ts'
import { checkTags } from '../options/check-arguments.ts'
import { strongRead } from '../store.ts'
import { invalidatedAt, type TagVersion } from '../tags/tag-version.ts'
import { isChanging, recordedVersions, type Versions } from '../tags/tag-versions.ts'
import { randomId } from '../values/random-id.ts'
import type { LoadJob } from './load-job.ts'

/** How long a value that cannot be kept is loaded by each process for itself, in milliseconds. */
const hitForMissMs = 1_000
/** How much longer than its value a part exists, so that a reader of the value still finds it, in milliseconds. */
const readerMs = 60_000
/** Why a backend did not store a value. After any other error, it may be stored. */
const refusals: readonly CacheErrorCode[] = ['ERR_CACHE_LIMIT', 'ERR_CACHE_REJECTED']
const noVersions: ReadonlyMap<string, TagVersion> = new Map()

/** A load that has returned its value. */
export interface LoadedValue<T> {
  readonly value: T
  readonly context: RecordingContext<T>
  readonly claim: Claim
  /** The versions of the tags as they were before the load. */
  readonly versions: Versions
  /** When the loader was called, in the time of `performance.now()`. */
  readonly startedAt: number
}

/** Stores a loaded value if it may be kept, and returns which callers receive it. */
export async function storeLoadedValue<T>(
  job: LoadJob<T>,
  flight: Flight,
  loaded: LoadedValue<T>,
): Promise<FlightResult> {
  const { value, context, claim } = loaded
  if (value === undefined && claim.replacesStale) return deleteStale(job, flight, loaded)
  if (value === undefined) return endUnstored(job, flight, loaded, undefined)
  const ttl = job.options.ttlOf(value, context.ttl)
  if (context.skipMs !== undefined || ttl === 0)
    return endUnstored(job, flight, loaded, encode(job, value))
  // Without a claim, it is not known whether the key has been written meanwhile.
  if (claim === noClaim) {
    return { item: encode(job, value), source: 'loaded', audience: 'beforeLoad' }
  }
  const versions = await versionsOf(job, loaded).catch((error) => report(job, error))
  if (versions === undefined) {
    await endClaim(job, claim)
    return { item: encode(job, value), source: 'loaded', audience: 'beforeLoad' }
  }
  const facts = await factsOf(job, context, versions, ttl)
  const item = job.cache.entries.encode(job.storageKey, value, facts)
  if (facts?.parts !== undefined && !(await hasParts(job, loaded, ttl))) {
    return { item, source: 'loaded', audience: 'beforeLoad' }
  }
  job.cache.flights.close(flight)
  const isCurrent = await replace(job, flight, claim, item, ttl, versions)
  return { item, source: 'loaded', audience: isCurrent ? 'all' : 'beforeLoad' }
}

/** Ends a claim without a value. */
export async function endClaim<T>(job: LoadJob<T>, claim: Claim, end?: LoadEnd): Promise<boolean> {
  try {
    const isEnded = end === undefined || claim === noClaim ? claim.end() : markEnd(job, claim, end)
    return await job.cache.flights.trackWriteBack(job.storageKey, isEnded)
  } catch (error) {
    report(job, error)
    return false
  }
}

/** How a claim ends whose load has failed: beside a stale value, other processes go on with that. */
export function endOfFailedLoad(claim: Claim): LoadEnd | undefined {
  return claim.replacesStale ? undefined : { kind: 'hitForMiss', ms: hitForMissMs }
}

/** Ends a claim with a mark, which is not over before it expires, by the time that any process has. */
async function markEnd<T>({ cache }: LoadJob<T>, claim: Claim, end: LoadEnd): Promise<boolean> {
  const { time, clockUncertainty } = cache.root
  return claim.end(endMark(end, (await time.estimate()) + clockUncertainty))
}

/** Deletes the stale value: there is none any more. */
async function deleteStale<T>(
  job: LoadJob<T>,
  flight: Flight,
  { claim, context: { isPrivate } }: LoadedValue<T>,
): Promise<FlightResult> {
  job.cache.flights.close(flight)
  const isCurrent = await replace(job, flight, claim, undefined, undefined, noVersions)
  const audience = isPrivate ? 'leader' : isCurrent ? 'all' : 'beforeLoad'
  return { item: undefined, source: 'loaded', audience }
}

/** Ends a load whose value is not kept: for a while, each process loads it for itself. */
async function endUnstored<T>(
  job: LoadJob<T>,
  flight: Flight,
  { claim, context: { skipMs = hitForMissMs, isPrivate, lateTags }, versions }: LoadedValue<T>,
  item: unknown,
): Promise<FlightResult> {
  // Only loads with a lease make other processes wait.
  if (claim.canBeLost) job.cache.hitForMiss.add(job.storageKey, skipMs)
  job.cache.flights.close(flight)
  const isHeld = await endClaim(job, claim, { kind: 'hitForMiss', ms: skipMs })
  // The tags are not read again for a value that is not stored.
  const isCurrent = isHeld && versions.size + lateTags.length === 0
  const audience = isPrivate ? 'leader' : isCurrent ? 'all' : 'beforeLoad'
  return { item, source: 'loaded', audience }
}

/**
 * The versions of the tags with which the value is stored. `undefined` if a tag that became known during the load may have
 * been invalidated since the load began.
 */
async function versionsOf<T>(
  job: LoadJob<T>,
  { value, context, versions, startedAt }: LoadedValue<T>,
): Promise<ReadonlyMap<string, TagVersion> | undefined> {
  const { root } = job.cache
  const computed = checkTags(job.options.tagsOf(value))
  const tags = new Set([...job.options.tags, ...computed, ...checkTags(context.lateTags)])
  if (isChanging(versions, tags)) return undefined
  const known = [...tags].filter((tag) => versions.get(tag) !== undefined)
  const late = [...tags].filter((tag) => versions.get(tag) === undefined)
  const result = new Map(known.map((tag) => [tag, versions.get(tag) as TagVersion]))
  if (late.length === 0) return result
  const [existing, now] = await Promise.all([
    root.tags.read(late, strongRead),
    root.time.read().then((time) => time - performance.now()),
  ])
  const current = await root.tags.create(existing)
  if (isChanging(current, late)) return undefined
  const loadBegan = now + startedAt
  const { clockUncertainty } = root
  for (const [tag, version] of current) {
    if (version === undefined) return undefined
    if (invalidatedAt(version) >= loadBegan - clockUncertainty) return undefined
    result.set(tag, version)
  }
  return result
}

/** Stores the parts of a value. If one of them fails or is lost, ends the claim: the value is not stored. */
async function hasParts<T>(
  job: LoadJob<T>,
  { claim, context }: LoadedValue<T>,
  ttl: number | undefined,
): Promise<boolean> {
  try {
    if (await storeParts(job, context, ttl)) return true
    // A stale value without its parts is of no use for the next load.
    await job.cache.flights.trackWriteBack(job.storageKey, claim.replace(undefined, undefined))
  } catch (error) {
    report(job, error)
    if (claim.canBeLost) job.cache.hitForMiss.add(job.storageKey, hitForMissMs)
    await endClaim(job, claim, endOfFailedLoad(claim))
  }
  return false
}

/** Stores the parts of a value, and extends the ttl of those that remain. Returns whether all exist. */
async function storeParts<T>(
  { cache: { entries, keyspace }, options }: LoadJob<T>,
  { parts, keptParts }: RecordingContext<T>,
  ttl: number | undefined,
): Promise<boolean> {
  const partTtl = ttl === undefined ? undefined : ttl + options.staleWindow + readerMs
  const writes = parts.map(async ({ name, value }) => {
    const key = keyspace.toStorageKey(name)
    await entries.store.set(key, entries.encode(key, value), partTtl)
    return true
  })
  const touches = keptParts.map(async (name) =>
    entries.store.touch(keyspace.toStorageKey(name), partTtl),
  )
  return (await Promise.all([...writes, ...touches])).every(Boolean)
}

async function factsOf<T>(
  { options, cache }: LoadJob<T>,
  context: RecordingContext<T>,
  versions: ReadonlyMap<string, TagVersion>,
  ttl: number | undefined,
): Promise<EntryFacts | undefined> {
  const parts = [...context.keptParts, ...context.parts.map(({ name }) => name)]
  const hasWindow = ttl !== undefined && options.staleWindow > 0
  const now = hasWindow ? await cache.root.time.estimate() : 0
  const facts: EntryFacts = {
    ...(hasWindow && { freshUntil: now + ttl, expiresAt: now + ttl + options.staleWindow }),
    ...(versions.size > 0 && { tags: recordedVersions(versions) }),
    ...context.validators,
    ...(parts.length > 0 && { parts }),
  }
  if (Object.keys(facts).length === 0) return undefined
  // Once an entry with a window is stale, no other write stores the same times.
  return hasWindow ? facts : { ...facts, id: randomId(8) }
}

/** Stores the item. Returns whether it is certain that nothing has invalidated it since the load began. */
async function replace<T>(
  job: LoadJob<T>,
  flight: Flight,
  claim: Claim,
  item: unknown,
  ttl: number | undefined,
  versions: ReadonlyMap<string, TagVersion>,
): Promise<boolean> {
  const { flights, root } = job.cache
  const { staleWindow } = job.options
  // A lease alone does not notice a clear during which another process writes the stale value again.
  if (!flight.isCurrent) {
    await endClaim(job, claim)
    return false
  }
  try {
    const write = claim.replace(item, ttl === undefined ? undefined : ttl + staleWindow)
    const [isStored, current] = await Promise.all([
      flights.trackWriteBack(job.storageKey, write),
      versions.size === 0 ? versions : root.tags.read([...versions.keys()], strongRead),
    ])
    return isStored && areEqual(versions, current)
  } catch (error) {
    report(job, error)
    if (CacheError.is(error) && refusals.includes(error.code)) {
      job.cache.hitForMiss.add(job.storageKey, hitForMissMs)
      return endClaim(job, claim, { kind: 'hitForMiss', ms: hitForMissMs })
    }
    return false
  }
}

function areEqual(a: Versions, b: Versions): boolean {
  for (const [tag, version] of a) {
    if (b.get(tag) !== version) return false
  }
  return true
}

function encode<T>({ cache, storageKey }: LoadJob<T>, value: T): unknown {
  return cache.entries.encode(storageKey, value)
}

/** Publishes a failure that `remember` does not throw. Throws errors that are not a `CacheError`. */
export function report<T>({ cache, storageKey }: LoadJob<T>, error: unknown): void {
  if (!CacheError.is(error)) throw error
  publishError(cache.entries.event(storageKey), error)
}
