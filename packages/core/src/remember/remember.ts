import { CacheError } from '../errors.ts'
import type { Found } from '../freshness/entry-reader.ts'
import { noClaim } from '../leases/local-claim.ts'
import { type CurrentLoad, currentLoadOf } from '../loading/current-load.ts'
import { Flight, type FlightResult, firstStep } from '../loading/flight.ts'
import { LoadRequests } from '../loading/load-context.ts'
import { type Awaitable, strongRead } from '../store.ts'
import type { Call, LoadJob } from './load-job.ts'
import { callLoader } from './loader.ts'
import { isOver, isUsable, loadFailedLately, resolveFlight } from './resolve-flight.ts'
import { runLoad } from './run-load.ts'
import { report } from './store-value.ts'

/** How often a call joins or loads again because the value that it received may have been invalidated. */
const maxAttempts = 3

/** Begins with a flight if there is one, or else with a read of the key. */
export async function rememberAgain<T>(call: Call<T>): Promise<T> {
  const { job } = call
  if (call.attempt >= maxAttempts) return loadAlone(job)
  const { flights, reader } = job.scope
  const existing = flights.find(job.key)
  if (existing !== undefined) return joinFlight(existing, call)
  const flight = flights.begin(job.key)
  return leadFlight(flight, call, () => reader.read(job.key, job.options.tags, strongRead))
}

/**
 * Waits for the flight of another caller and decodes its item. Two loaders that call `remember` for each other's key
 * would wait forever: the call that would complete such a cycle runs its own loader instead, and stores nothing.
 */
export async function joinFlight<T>(
  flight: Flight,
  call: Call<T>,
  joined: number = flight.step,
): Promise<T> {
  const current = currentLoadOf()
  if (current !== undefined && flight.leadsTo(current.flight)) {
    return loadUnshared(flight, current, call.job)
  }
  enter(flight, call)
  current?.flight.startWaitingFor(flight)
  let result: FlightResult
  try {
    result = await flight.join()
  } finally {
    current?.flight.stopWaitingFor(flight)
  }
  if (flight.isReceivedBy(joined, result)) return sharedValue(call.job, result)
  if (result.audience === 'leader') return loadAlone(call.job)
  // A read that was sent before this call says nothing about how often the key changes.
  const attempt = result.audience === 'beforeRead' ? call.attempt : call.attempt + 1
  return rememberAgain({ ...call, attempt })
}

/** For a key that another caller reads at the same time: reads it as well, and joins the load if there is one. */
export async function readOrJoin<T>(flight: Flight, call: Call<T>): Promise<T> {
  const { scope, key, options } = call.job
  let found: Found
  try {
    found = await scope.reader.read(key, options.tags)
  } catch {
    return rememberAgain(call)
  }
  if (isUsable(call.job, found)) return scope.entries.publishRead<T>(key, found.entry) as T
  return scope.flights.find(key) === flight
    ? joinFlight(flight, call, firstStep)
    : rememberAgain(call)
}

/**
 * Joins the flight of another caller, or begins one, after this call has read its key. That flight did nothing but read
 * when this call was made, or did not exist yet: what it does from its second step on is begun after this call.
 */
export function joinOrLead<T>(call: Call<T>, lead: (flight: Flight) => Promise<T>): Promise<T> {
  const { key, scope } = call.job
  const existing = scope.flights.find(key)
  if (existing !== undefined) return joinFlight(existing, call, firstStep)
  return lead(scope.flights.begin(key))
}

/** The same with what this call has found under the key. */
export async function joinOrLoad<T>(call: Call<T>, found: Found): Promise<T> {
  const { key, scope } = call.job
  const failure = found.mark?.kind === 'F' ? found.mark : undefined
  const isFirst = failure !== undefined && scope.flights.find(key) === undefined
  if (isFirst && !(await isOver(scope, failure))) {
    // Without a flight: a call that has read the key later, after a delete, must not receive this error.
    scope.entries.publishRead(key, undefined)
    throw loadFailedLately(call.job)
  }
  return joinOrLead(call, (flight) => leadFound(flight, call, found))
}

/** Resolves a flight that this call has begun, after it has read its key. */
export async function leadFlight<T>(
  flight: Flight,
  call: Call<T>,
  read: () => Awaitable<Found>,
): Promise<T> {
  let found: Found
  try {
    found = await read()
  } catch (error) {
    return loadWithoutStore(flight, call, error)
  }
  return leadFound(flight, call, found)
}

function leadFound<T>(flight: Flight, call: Call<T>, found: Found): Promise<T> {
  return lead(flight, call, () => resolveFlight(flight, call.job, found))
}

/** Loads a value after a failed read. Does not store it: the write would probably fail too, and delay the caller. */
export async function loadWithoutStore<T>(
  flight: Flight,
  call: Call<T>,
  error: unknown,
): Promise<T> {
  const { job } = call
  return lead(flight, call, async () => {
    if (CacheError.is(error) && error.code === 'ERR_CACHE_CLOSED') throw error
    report(job, error)
    return runLoad(job, { flight, claim: noClaim })
  })
}

function enter<T>(flight: Flight, { caller }: Call<T>): void {
  if (caller === undefined) flight.enter()
  else caller.enter(flight)
}

async function lead<T>(
  flight: Flight,
  call: Call<T>,
  resolve: () => Promise<FlightResult>,
): Promise<T> {
  const { flights } = call.job.scope
  const outer = currentLoadOf()?.flight
  enter(flight, call)
  outer?.startWaitingFor(flight)
  let result: FlightResult
  try {
    result = await resolve()
    flights.end(flight, result)
  } catch (error) {
    flights.end(flight)
    flight.reject(error)
    throw error
  } finally {
    outer?.stopWaitingFor(flight)
  }
  if (result.audience === 'nobody') return rememberAgain({ ...call, attempt: call.attempt + 1 })
  return decodeResult(call.job, result)
}

/** Calls the loader for one caller only, and stores nothing. */
async function loadAlone<T>(job: LoadJob<T>): Promise<T> {
  const flight = new Flight(job.key)
  flight.enter()
  return decodeResult(job, await runLoad(job, { flight, claim: noClaim }))
}

async function loadUnshared<T>(
  flight: Flight,
  { flight: current, bypassed }: CurrentLoad,
  job: LoadJob<T>,
): Promise<T> {
  if (bypassed.includes(flight)) {
    throw new Error('remember() calls itself without end: the loader of a key needs the same key.')
  }
  const load = { flight: current, bypassed: [...bypassed, flight] }
  const requests = new LoadRequests<T>(job.name, false, undefined)
  const value = await callLoader(job, load, requests)
  const { entries } = job.scope
  return value === undefined ? value : entries.valueOf<T>(job.key, entries.encode(job.key, value))
}

/** The value of a result that another caller has obtained, as one that this caller may modify. */
function sharedValue<T>(
  { scope: { entries }, key }: LoadJob<T>,
  { item, source }: FlightResult,
): T {
  if (source === 'read') return entries.publishRead<T>(key, entries.decode(key, item)) as T
  entries.publishShared(key)
  return item === undefined ? (undefined as T) : entries.valueOf<T>(key, item)
}

function decodeResult<T>(
  { scope: { entries }, key }: LoadJob<T>,
  { item, source }: FlightResult,
): T {
  if (source === 'read') return entries.publishRead<T>(key, entries.decode(key, item)) as T
  if (source === 'awaited') entries.publishShared(key)
  return item === undefined ? (undefined as T) : entries.valueOf<T>(key, item)
}
