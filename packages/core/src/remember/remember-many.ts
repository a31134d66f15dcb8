import type { EntryReader } from '../freshness/entry-reader.ts'
import { MergedReader } from '../freshness/merged-reader.ts'
import { SharedPolls } from '../leases/shared-polls.ts'
import { type Caller, type CallerLimits, hasLimits, withLimits } from '../loading/caller.ts'
import type { Flight } from '../loading/flight.ts'
import { LoadBatch } from '../loading/load-batch.ts'
import type { LoadContext, LoadManyContext } from '../loading/load-context.ts'
import type { Awaitable } from '../store.ts'
import { MergedTagVersions } from '../tags/merged-tag-versions.ts'
import { Deferred } from '../time/deferred.ts'
import type { LoadGroup, LoadJob, LoadScope } from './load-job.ts'
import { type CurrentLoad, callSharedLoader, currentLoadOf, runInBackground } from './loader.ts'
import { joinFlight, leadFlight } from './remember.ts'
import type { LoadOptions } from './remember-options.ts'

const strongRead = { consistency: 'strong' } as const

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

/** A key, as the application passes it and as it is stored. */
export type JobKeys = Pick<LoadJob<unknown>, 'name' | 'key' | 'refreshKey'>

/**
 * A call of `rememberMany`. Each key is a job of its own, with a flight and a lease, as in `remember`. The jobs share
 * their reads, their waits for leases of other processes, and the calls of the loader.
 */
export class RememberManyCall<T> implements LoadGroup {
  readonly polls: SharedPolls
  readonly #scope: LoadScope
  readonly #firstReads: MergedReader
  readonly #options: LoadOptions<T>
  readonly #loads: LoadBatch<Member<T>>
  readonly #refreshes: LoadBatch<Member<T>>

  constructor(scope: LoadScope, reader: EntryReader, options: LoadOptions<T>, load: LoadMany<T>) {
    this.polls = new SharedPolls(scope.entries.store)
    this.#scope = mergeReads(scope, reader, options.tags)
    this.#firstReads = new MergedReader(reader, options.tags)
    this.#options = options
    this.#loads = new LoadBatch((members) => void loadMembers(load, members))
    this.#refreshes = new LoadBatch(
      (members) => void runInBackground(() => loadMembers(load, members)),
    )
  }

  hold(name: string): void {
    this.#loads.hold(name)
  }

  release(name: string): void {
    this.#loads.release(name)
  }

  addRefresh(name: string, work: Promise<void>): void {
    this.#refreshes.hold(name)
    work.then(() => this.#refreshes.release(name))
  }

  /** Resolves to the values of the keys, in their order. A repeated key joins the flight of its first occurrence. */
  async run(keys: readonly JobKeys[], limits: CallerLimits): Promise<T[]> {
    const store = this.#scope.entries.store.name
    const led = new Set<Flight>()
    const values = keys.map((each) => {
      const job = this.#jobOf(each)
      if (!hasLimits(limits)) return this.#begin(job, led)
      const at = { store, key: each.key }
      return withLimits(limits, at, (caller) => this.#begin(job, led, caller))
    })
    return Promise.all(values)
  }

  /** Joins the flight of a key, or begins one before the key is read. */
  #begin(job: LoadJob<T>, led: Set<Flight>, caller?: Caller): Promise<T> {
    const call = { job, caller, attempt: 0 }
    const { flights } = this.#scope
    const existing = flights.find(job.key)
    const isJoined = existing !== undefined && (!job.options.refresh || led.has(existing))
    if (isJoined) return joinFlight(existing, call)
    const flight = flights.begin(job.key)
    led.add(flight)
    this.hold(job.name)
    return leadFlight(flight, call, () => this.#firstReads.read(job.key)).finally(() =>
      this.release(job.name),
    )
  }

  #jobOf(keys: JobKeys): LoadJob<T> {
    const load = (context: LoadContext<T>) => this.#load(context)
    return { ...keys, scope: this.#scope, options: this.#options, load, group: this }
  }

  #load(context: LoadContext<T>): Promise<T> {
    const value = new Deferred<T>()
    const batch = context.background ? this.#refreshes : this.#loads
    batch.add(context.key, { context, value, load: currentLoadOf() as CurrentLoad })
    return value.promise
  }
}

/** Reads what the jobs need in one turn together. Later reads are strong, as in `remember`. */
function mergeReads(scope: LoadScope, reader: EntryReader, tags: readonly string[]): LoadScope {
  const { root } = scope
  return {
    ...scope,
    reader: new MergedReader(reader, tags, strongRead),
    root: {
      time: root.time,
      clockUncertainty: root.clockUncertainty,
      tags: new MergedTagVersions(root.tags, strongRead),
    },
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

/** Returns the loaded values in the order of the members. */
async function callLoadMany<T>(
  load: LoadMany<T>,
  members: readonly Member<T>[],
): Promise<readonly (T | undefined)[]> {
  const names = members.map(({ context }) => context.key)
  const context = new ManyContext(members.map((member) => member.context))
  const values = await callSharedLoader(
    members.map((member) => member.load),
    () => load(names, context),
  )
  if (values instanceof Map) return names.map((name) => values.get(name))
  if (Array.isArray(values) && values.length === names.length) return values
  throw new TypeError(
    `The loader of rememberMany must return a Map, or an array with a value for each of the ${names.length} missing keys.`,
  )
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

  of(key: string): LoadContext<T> {
    const context = this.#contexts.get(key)
    if (context !== undefined) return context
    throw new TypeError('The key is not one of the missing keys that are loaded.')
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
