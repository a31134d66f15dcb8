import { types } from 'node:util'
import { Deferred } from '../calls/deferred.ts'
import { tracing } from '../channels.ts'
import type { Found } from '../freshness/entry-reader.ts'
import { type CurrentLoad, currentLoadOf, runAsLoad } from '../loading/current-load.ts'
import {
  type CallerLimits,
  hasLimits,
  type LimitedCaller,
  withLimits,
} from '../loading/limited-caller.ts'
import type { LoadContext, LoadManyContext } from '../loading/load-context.ts'
import type { LoadOptions } from '../loading/remember-options.ts'
import { Flight } from '../loading/single-flight.ts'
import { type Awaitable, strongRead } from '../store.ts'
import type { ObservedCall } from '../tracing/observed-call.ts'
import { traceLoad } from '../tracing/trace.ts'
import { auditHit, runInBackground } from './background.ts'
import type { Call, LoadGroup, LoadJob, RememberCache, RememberingCache } from './load-job.ts'
import { join, lead, readOrJoin } from './remember.ts'
import { LoadBatch, MergedReader, mergeReads, SharedPolls } from './shared-steps.ts'

/** The loader of `rememberMany`. Returns the values by key, or in the order of `missing`. */
export type LoadMany<T> = (
  missing: readonly string[],
  context: LoadManyContext<T>,
) => Awaitable<ReadonlyMap<string, T> | readonly (T | undefined)[]>

/** The load of a key, which waits for the loader of all keys. */
interface Member<T> {
  readonly context: LoadContext<T>
  readonly load: CurrentLoad
  readonly value: Deferred<T>
}

/**
 * A call of `rememberMany`. Each key is a job of its own, with a flight and a lease, as in `remember`. The jobs share
 * their reads, their waits for leases of other processes, and the calls of the loader.
 */
export class RememberManyCall<T> implements LoadGroup {
  readonly polls: SharedPolls
  readonly #cache: RememberCache
  readonly #options: LoadOptions<T>
  readonly #observed: ObservedCall | undefined
  /** The cache whose reads are not merged with those of this call. */
  readonly #unmerged: RememberingCache
  readonly #loadMany: LoadMany<T>
  readonly #loads: LoadBatch<Member<T>>
  readonly #refreshes: LoadBatch<Member<T>>

  /** @param observed set if somebody subscribes to calls */
  constructor(
    cache: RememberingCache,
    options: LoadOptions<T>,
    load: LoadMany<T>,
    observed: ObservedCall | undefined,
  ) {
    this.#observed = observed
    this.#unmerged = cache
    this.polls = new SharedPolls()
    this.#cache = mergeReads(cache, options.tags)
    this.#options = options
    const traced: LoadMany<T> = (missing, context) => {
      if (!tracing.load.hasSubscribers) return load(missing, context)
      return traceLoad(cache.entries, missing, context.background, () => load(missing, context))
    }
    this.#loadMany = traced
    this.#loads = new LoadBatch((members) => void loadMembers(traced, members))
    this.#refreshes = new LoadBatch(
      (members) => void runInBackground(() => loadMembers(traced, members)),
    )
  }

  /** The loader of each job. */
  readonly load = (context: LoadContext<T>): Promise<T> => {
    const value = new Deferred<T>()
    const batch = context.background ? this.#refreshes : this.#loads
    batch.add(context.key, { context, value, load: currentLoadOf() as CurrentLoad })
    return value.promise
  }

  hold(key: string): void {
    this.#loads.hold(key)
  }

  release(key: string): void {
    this.#loads.release(key)
  }

  addRefresh(key: string, work: Promise<void>): void {
    this.#refreshes.hold(key)
    work.then(() => this.#refreshes.release(key))
  }

  /** Resolves to the values of the keys, in their order. A repeated key joins the flight of its first occurrence. */
  async run(keys: readonly string[], limits: CallerLimits): Promise<T[]> {
    const jobs = keys.map((key) => this.#jobOf(key))
    return hasLimits(limits) ? this.#runLimited(jobs, limits) : this.#runUnlimited(jobs)
  }

  /** Each key has the limits of the call: after the timeout, it is stale or missing. */
  async #runLimited(jobs: readonly LoadJob<T>[], limits: CallerLimits): Promise<T[]> {
    const begun = new Map<Flight, LoadJob<T>>()
    const { tags, refresh } = this.#options
    const reads = new MergedReader(this.#unmerged.reader, tags, refresh ? strongRead : undefined)
    const runOne = (job: LoadJob<T>, caller: LimitedCaller) => {
      const existing = this.#findOrBegin(job, begun)
      const call = this.#callOf(job, caller)
      if (existing.isBegun) return lead(existing.flight, call, () => reads.read(job.storageKey))
      return this.#join(existing.flight, call, begun)
    }
    const limited = { entries: this.#cache.entries, observed: this.#observed }
    return Promise.all(
      jobs.map((job) => {
        const { storageKey } = job
        return withLimits(limits, { ...limited, storageKey }, (caller) => runOne(job, caller))
      }),
    )
  }

  /** Without limits, hits are not worth a promise each: a call may have a thousand. */
  async #runUnlimited(jobs: readonly LoadJob<T>[]): Promise<T[]> {
    const begun = new Map<Flight, LoadJob<T>>()
    const joined: (Promise<T> | undefined)[] = jobs.map((job) => {
      const { flight, isBegun } = this.#findOrBegin(job, begun)
      const call = this.#callOf(job, undefined)
      return isBegun ? undefined : this.#join(flight, call, begun)
    })
    const [led, ...values] = await Promise.all([this.#readAndLead(begun), ...joined])
    let next = 0
    return values.map((value, index) => (joined[index] === undefined ? led[next++] : value) as T)
  }

  /** Reads the keys of the flights that have begun, and resolves the flights. Returns their values in order. */
  async #readAndLead(begun: ReadonlyMap<Flight, LoadJob<T>>): Promise<T[]> {
    const keys = Array.from(begun.values(), ({ storageKey }) => storageKey)
    const { tags, refresh } = this.#options
    const reading = this.#unmerged.reader.readMany(keys, tags, refresh ? strongRead : undefined)
    const outcomes = await settleAll(reading, keys.length)
    return Promise.all(
      Array.from(begun, ([flight, job], index) =>
        this.#resolve(flight, job, outcomes[index] as PromiseSettledResult<Found>),
      ),
    )
  }

  #resolve(flight: Flight, job: LoadJob<T>, outcome: PromiseSettledResult<Found>): Awaitable<T> {
    const found = outcome.status === 'fulfilled' ? outcome.value : undefined
    if (found === undefined || found.staleMs >= 0 || job.options.refresh) {
      const read = async () => found ?? Promise.reject((outcome as PromiseRejectedResult).reason)
      return lead(flight, this.#callOf(job, undefined), read)
    }
    const { entries, flights } = this.#cache
    this.release(job.key)
    this.#observed?.noteRead(found.item)
    this.#auditIfSampled(job, found)
    flights.end(flight, { item: found.item, source: 'read', audience: 'beforeRead' })
    return entries.serve<T>(job.storageKey, found.entry) as T
  }

  #auditIfSampled(job: LoadJob<T>, found: Found): void {
    const { audit } = this.#cache
    if (!audit?.isSampled()) return
    const load = (context: LoadContext<T>) => loadOne(this.#loadMany, context)
    auditHit(audit, { ...job, cache: this.#unmerged, load, group: undefined }, found)
  }

  /** Returns the flight of another call for this key, or begins one: before the key is read, to notice writes. */
  #findOrBegin(job: LoadJob<T>, begun: Map<Flight, LoadJob<T>>) {
    const { flights } = this.#cache
    const existing = flights.find(job.storageKey)
    if (existing !== undefined && (!job.options.refresh || begun.has(existing))) {
      return { flight: existing, isBegun: false }
    }
    const flight = flights.begin(job.storageKey)
    begun.set(flight, job)
    this.hold(job.key)
    return { flight, isBegun: true }
  }

  #join(flight: Flight, call: Call<T>, begun: ReadonlyMap<Flight, LoadJob<T>>): Promise<T> {
    // A repeated key joins before its first occurrence is read.
    if (begun.has(flight)) return join(flight, call, 0)
    return flight.isReading ? readOrJoin(flight, call) : join(flight, call)
  }

  #callOf(job: LoadJob<T>, caller: LimitedCaller | undefined): Call<T> {
    return { job, caller, observed: this.#observed, attempt: 0 }
  }

  /** Without a spread, which takes longer than all else that is done for a hit. */
  #jobOf(key: string): LoadJob<T> {
    const cache = this.#cache
    const storageKey = cache.keyspace.toStorageKey(key)
    return { cache, storageKey, key, options: this.#options, load: this.load, group: this }
  }
}

/** The outcomes of a read of several keys, also if all of it fails. */
async function settleAll<V>(
  reading: Promise<PromiseSettledResult<V>[]>,
  count: number,
): Promise<PromiseSettledResult<V>[]> {
  try {
    return await reading
  } catch (reason) {
    return Array(count).fill({ status: 'rejected', reason })
  }
}

/** Calls the loader for those keys whose loads have not been aborted meanwhile. Never rejects. */
async function loadMembers<T>(load: LoadMany<T>, all: readonly Member<T>[]): Promise<void> {
  for (const { context, value } of all) {
    if (context.signal.aborted) value.reject(context.signal.reason)
  }
  const members = all.filter(({ context }) => !context.signal.aborted)
  if (members.length === 0) return
  try {
    const values = await callLoadMany(load, members)
    members.forEach(({ value }, index) => void value.resolve(values[index] as T))
  } catch (error) {
    for (const { value } of members) value.reject(error)
  }
}

/** Calls the loader for one key, in a load of its own. */
async function loadOne<T>(load: LoadMany<T>, context: LoadContext<T>): Promise<T> {
  const own = { context, value: new Deferred<T>(), load: currentLoadOf() as CurrentLoad }
  const [value] = await callLoadMany(load, [own])
  return value as T
}

/** Returns the loaded values in the order of the members. */
async function callLoadMany<T>(
  load: LoadMany<T>,
  members: readonly Member<T>[],
): Promise<readonly (T | undefined)[]> {
  const keys = members.map(({ context }) => context.key)
  const context = new ManyContext(members.map((member) => member.context))
  const values = await callSharedLoader(
    members.map((member) => member.load),
    () => load(keys, context),
  )
  if (types.isMap(values)) return keys.map((key) => values.get(key))
  if (Array.isArray(values) && values.length === keys.length) return values
  throw new TypeError(
    `The loader of rememberMany must return a Map, or an array with a value for each of the ${keys.length} missing keys.`,
  )
}

/** Calls a loader for which several loads wait. */
async function callSharedLoader<R>(
  loads: readonly CurrentLoad[],
  call: () => Awaitable<R>,
): Promise<R> {
  // All of them wait for this flight, so that a loader that needs one of their keys is detected.
  const flight = new Flight('')
  for (const load of loads) load.flight.startWaitingFor(flight)
  try {
    return await runAsLoad({ flight, bypassed: loads.flatMap(({ bypassed }) => bypassed) }, call)
  } finally {
    for (const load of loads) load.flight.stopWaitingFor(flight)
  }
}

/** The contexts of the keys that one call of the loader loads. */
class ManyContext<T> implements LoadManyContext<T> {
  readonly signal: AbortSignal
  readonly background: boolean
  readonly #contexts: ReadonlyMap<string, LoadContext<T>>

  constructor(contexts: readonly LoadContext<T>[]) {
    this.signal = abortedWithAll(contexts.map(({ signal }) => signal))
    this.background = contexts[0]?.background === true
    this.#contexts = new Map(contexts.map((context) => [context.key, context]))
  }

  get of(): LoadManyContext<T>['of'] {
    return (key) => {
      const context = this.#contexts.get(key)
      if (context !== undefined) return context
      throw new TypeError('The key is not one of the missing keys that are loaded.')
    }
  }
}

/** A signal that aborts when the last of these signals does. */
function abortedWithAll(signals: readonly AbortSignal[]): AbortSignal {
  const controller = new AbortController()
  let remaining = signals.length
  for (const signal of signals) {
    const abort = () => {
      remaining--
      if (remaining === 0) controller.abort(signal.reason)
    }
    signal.addEventListener('abort', abort, { once: true })
  }
  return controller.signal
}
