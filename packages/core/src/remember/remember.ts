import { CacheError } from '../errors.ts'
import type { Found } from '../freshness/entry-reader.ts'
import { isInProgress } from '../freshness/freshness.ts'
import { type CurrentLoad, currentLoadOf, runAsLoad } from '../loading/current-load.ts'
import { RecordingContext } from '../loading/load-context.ts'
import { Flight, type FlightResult, firstStep, type StaleValue } from '../loading/single-flight.ts'
import { type Awaitable, strongRead } from '../store.ts'
import { isChanging } from '../tags/tag-versions.ts'
import type { KeyOutcome } from '../tracing/observed-call.ts'
import type { Mark } from '../values/mark.ts'
import { isSameItem } from '../values/payload.ts'
import { auditIfSampled, refreshInBackground } from './background.ts'
import { type ClaimStep, claimOrWait, unclaimed, unclaimedAfter, usesLease } from './claim-load.ts'
import type { Call, LoadJob, RememberCache } from './load-job.ts'
import { loaderOf, runLoad, staleIfError } from './run-load.ts'

/** How often a call joins or leads again because the value that it received may have been invalidated. */
const maxAttempts = 3
/** How often a flight tries to take a lease that others take before it. Each time another process makes progress. */
const maxRounds = 100

/**
 * Joins the flight of another caller, or leads one, after this call has read its key. The first read of that flight may be
 * older than this call. Each later step is begun after it.
 */
export function joinOrLead<T>(call: Call<T>, read: () => Awaitable<Found>): Promise<T> {
  const { storageKey, cache } = call.job
  const existing = cache.flights.find(storageKey)
  if (existing !== undefined) return join(existing, call, firstStep)
  return lead(cache.flights.begin(storageKey), call, read)
}

/**
 * Leads a flight that this call has begun: reads the key, and loads the value if there is none. Other calls join it
 * meanwhile.
 */
export async function lead<T>(
  flight: Flight,
  call: Call<T>,
  read: () => Awaitable<Found>,
): Promise<T> {
  const { job } = call
  const { flights } = job.cache
  const outer = currentLoadOf()?.flight
  enter(flight, call)
  outer?.startWaitingFor(flight)
  let result: FlightResult
  try {
    result = await resolveFlight(flight, job, read)
    flights.end(flight, result)
  } catch (error) {
    flights.end(flight)
    flight.reject(error)
    throw error
  } finally {
    outer?.stopWaitingFor(flight)
    flight.stopHolding?.()
    // Otherwise the loads of other keys of the group would wait for this one.
    job.group?.release(job.key)
  }
  if (result.audience === 'nobody') return rememberAgain({ ...call, attempt: call.attempt + 1 })
  return resultValue(call, result, result.source === 'awaited')
}

/** Returns what the key contains, or loads the value, or waits for the process that does. */
async function resolveFlight<T>(
  flight: Flight,
  job: LoadJob<T>,
  read: () => Awaitable<Found>,
): Promise<FlightResult> {
  let first: Found
  try {
    first = await read()
  } catch (error) {
    job.cache.audit?.pause()
    return runLoad(job, flight, unclaimedAfter(error, job))
  }
  let found = first
  for (let round = 0; round < maxRounds; round++) {
    const step = await nextStep(job, found, first)
    if (step === 'return') {
      refreshIfStale(job, found)
      if (round === 0) auditIfSampled(job, found)
      const source = round === 0 ? 'read' : 'awaited'
      const isStale = found.staleMs >= 0
      return { item: found.item, source, isStale, audience: 'beforeRead' }
    }
    if (round === 0) job.cache.entries.publishMiss(job.storageKey)
    flight.stale = staleValueOf(job, found)
    if (step === 'fail') throw loadFailedLately(job)
    const outcome = await claimOrWait(flight, job, found, step)
    if (outcome.kind === 'load') return runLoad(job, flight, outcome)
    found = outcome.found
    if (outcome.kind === 'failed') return staleOrThrow(job, found)
  }
  return runLoad(job, flight, unclaimed(found))
}

/** How a flight continues with what it has found. `first` is what it had found before it waited for others. */
async function nextStep<T>(
  job: LoadJob<T>,
  found: Found,
  first: Found,
): Promise<'return' | 'fail' | ClaimStep> {
  const { cache, storageKey } = job
  const { item, entry, mark } = found
  const isOutdated = job.options.refresh && isAsOldAs(first, found)
  if (!isOutdated && isUsable(job, found)) return 'return'
  if (entry !== undefined) return 'claim'
  if (mark?.kind === 'failure' && !(await isOver(cache, mark))) return 'fail'
  if (mark?.kind === 'hitForMiss' && !(await isOver(cache, mark))) {
    cache.hitForMiss.add(storageKey, mark.ms)
    return 'unclaimed'
  }
  if (isChanging(found.versions, job.options.tags)) return 'unclaimed'
  if (mark?.kind === 'change' && (await isInProgress(mark, cache.root.time))) return 'unclaimed'
  if (!usesLease(job, found)) return 'claim'
  if (mark?.kind === 'lease') return 'wait'
  return item === undefined && cache.hitForMiss.has(storageKey) ? 'unclaimed' : 'claim'
}

/** Whether the key still contains the value that was found first. */
function isAsOldAs(first: Found, { item, entry }: Found): boolean {
  return isSameItem(item, first.item) || entry?.facts?.isRewritten === true
}

/** Whether the value that was found is returned at once. */
function isUsable<T>({ options }: LoadJob<T>, { entry, staleMs }: Found): boolean {
  return staleMs < 0 || (entry !== undefined && staleMs < options.staleWhileRevalidate)
}

/** Whether a hit-for-miss or a failure is over whose mark still exists. */
async function isOver({ root }: RememberCache, { end }: Mark): Promise<boolean> {
  return end !== undefined && (await root.time.estimate()) >= end
}

function refreshIfStale<T>(job: LoadJob<T>, { staleMs }: Found): void {
  if (staleMs >= 0) refreshInBackground(job)
}

/** The stale value, if callers whose timeout passes may receive it. */
function staleValueOf<T>(job: LoadJob<T>, found: Found): StaleValue | undefined {
  const { cache, storageKey, options } = job
  if (found.entry === undefined || found.staleMs >= options.staleWindow) return undefined
  return {
    decode: () => cache.entries.valueOf(storageKey, found.item),
    readAgain: async () =>
      staleValueOf(job, await cache.reader.read(storageKey, options.tags, strongRead)),
  }
}

/** The stale value after the load of another flight or process has failed. */
function staleOrThrow<T>(job: LoadJob<T>, found: Found): FlightResult {
  const stale = staleIfError(job, found)
  if (stale === undefined) throw loadFailedLately(job)
  return stale
}

/**
 * Waits for the flight of another caller and decodes its item. Two loaders that call `remember` for each other's key
 * would wait forever: the call that would complete such a cycle runs its own loader instead, and stores nothing.
 *
 * @param joined the step of the flight from which on its reads and loads are begun after this call
 */
export async function join<T>(
  flight: Flight,
  call: Call<T>,
  joined: number = flight.step,
): Promise<T> {
  const current = currentLoadOf()
  if (current !== undefined && flight.reaches(current.flight)) {
    return loadUnshared(flight, current, call)
  }
  enter(flight, call)
  current?.flight.startWaitingFor(flight)
  let result: FlightResult
  try {
    result = await flight.result()
  } finally {
    current?.flight.stopWaitingFor(flight)
  }
  if (flight.isReceivedBy(joined, result)) return resultValue(call, result, true)
  if (result.audience === 'leader') return loadAlone(call)
  // A read that was sent before this call says nothing about how often the key changes.
  const attempt = result.audience === 'beforeRead' ? call.attempt : call.attempt + 1
  return rememberAgain({ ...call, attempt })
}

/** For a key that another caller reads at the same time: reads it as well, and joins the load if there is one. */
export async function readOrJoin<T>(flight: Flight, call: Call<T>): Promise<T> {
  const { job } = call
  const { cache, storageKey, options } = job
  let found: Found
  try {
    found = await cache.reader.read(storageKey, options.tags)
  } catch {
    return rememberAgain(call)
  }
  if (isUsable(job, found)) {
    refreshIfStale(job, found)
    noteFound(call, found)
    return cache.entries.serve<T>(storageKey, found.entry) as T
  }
  return cache.flights.find(storageKey) === flight
    ? join(flight, call, firstStep)
    : rememberAgain(call)
}

/** Joins the flight of another caller, or leads one that reads the key again. */
function rememberAgain<T>(call: Call<T>): Promise<T> {
  const { job, attempt } = call
  const { storageKey, options, cache } = job
  if (attempt >= maxAttempts) return loadAlone(call)
  const existing = cache.flights.find(storageKey)
  if (existing !== undefined) return join(existing, call)
  const read = () => cache.reader.read(storageKey, options.tags, strongRead)
  return lead(cache.flights.begin(storageKey), call, read)
}

/** Rejects during the backoff of a failed load. */
export async function throwIfInBackoff<T>(job: LoadJob<T>, mark: Mark): Promise<void> {
  const { entries, flights } = job.cache
  if (flights.find(job.storageKey) !== undefined || (await isOver(job.cache, mark))) return
  // Without a flight: a call that has read the key later, after a delete, must not receive this error.
  entries.publishMiss(job.storageKey)
  throw loadFailedLately(job)
}

/** The error of a call during the backoff of a failed load. */
function loadFailedLately<T>({ cache, storageKey }: LoadJob<T>): CacheError {
  return new CacheError(
    'ERR_CACHE_LOAD',
    'remember failed: the loader failed lately, and is not called again before its backoff ends.',
    { store: cache.entries.store.name, operation: 'remember', key: storageKey, retryable: true },
  )
}

function enter<T>(flight: Flight, { caller }: Call<T>): void {
  if (caller === undefined) flight.enter()
  else caller.enter(flight)
}

/** Calls the loader for one caller only, and stores nothing. */
async function loadAlone<T>(call: Call<T>): Promise<T> {
  const { job } = call
  const result = await runLoad(job, new Flight(job.storageKey), unclaimed(undefined))
  return resultValue(call, result, false)
}

/** Calls the loader in the load that waits for this call, and stores nothing. */
async function loadUnshared<T>(
  flight: Flight,
  { flight: current, bypassed }: CurrentLoad,
  call: Call<T>,
): Promise<T> {
  const { job } = call
  if (bypassed.includes(flight)) {
    throw new Error('remember() calls itself without end: the loader of a key needs the same key.')
  }
  const load = { flight: current, bypassed: [...bypassed, flight] }
  const value = await runAsLoad(
    load,
    loaderOf(job, new RecordingContext<T>(job.key, false, undefined)),
  )
  const { entries } = job.cache
  note(call, 'miss')
  return value === undefined
    ? value
    : entries.valueOf<T>(job.storageKey, entries.encode(job.storageKey, value))
}

/** The value of a result, as one that this caller may modify. */
function resultValue<T>(call: Call<T>, result: FlightResult, isShared: boolean): T {
  const { item, source, isStale = false } = result
  const { cache, storageKey } = call.job
  const { entries } = cache
  if (source === 'read') {
    noteFound(call, { item, staleMs: isStale ? 0 : -1 })
    return entries.serve<T>(storageKey, entries.decode(storageKey, item)) as T
  }
  note(call, isShared ? 'shared' : 'miss')
  if (isShared) entries.publishShared(storageKey)
  return item === undefined ? (undefined as T) : entries.valueOf<T>(storageKey, item)
}

/** Publishes that a call receives what was found. */
function noteFound<T>(call: Call<T>, found: Pick<Found, 'item' | 'staleMs'>): void {
  const { cache, storageKey } = call.job
  if (found.staleMs >= 0) cache.entries.publishStale(storageKey)
  if (call.caller?.isAnswered !== true) call.observed?.noteFound(found)
}

/** Notes how a call received its value, unless it has received a stale one after its timeout. */
function note<T>({ observed, caller }: Call<T>, outcome: KeyOutcome): void {
  if (caller?.isAnswered !== true) observed?.note(outcome)
}
