import { AsyncLocalStorage } from 'node:async_hooks'
import { Deferred } from '../calls/deferred.ts'
import type { Awaitable } from '../store.ts'
import { after } from '../time/wait.ts'
import type { Flight } from './single-flight.ts'

/**
 * The function of the application that makes the current call, while other calls wait for it: a loader, `save` of a
 * collection, or the change of an update.
 */
export interface CurrentLoad {
  readonly flight: Flight
  /** Flights that this load did not join, because they wait for it. */
  readonly bypassed: readonly Flight[]
}

/** Disabled while no such function runs, because on Node 20 an enabled `AsyncLocalStorage` slows down every promise. */
const currentLoad = new AsyncLocalStorage<CurrentLoad>()
let loadsInFlight = 0

/** The load that makes the current call, if one does. */
export function currentLoadOf(): CurrentLoad | undefined {
  return loadsInFlight === 0 ? undefined : currentLoad.getStore()
}

/** Calls a function of the application, so that a call in it is detected that would wait for the function itself. */
export async function runAsLoad<R>(load: CurrentLoad, call: () => Awaitable<R>): Promise<R> {
  loadsInFlight++
  try {
    return await currentLoad.run(load, call)
  } finally {
    loadsInFlight--
    if (loadsInFlight === 0) currentLoad.disable()
  }
}

/** The same for a function that is not a loader, and for which others wait with `flight`. */
export function runForFlight<R>(flight: Flight, call: () => Awaitable<R>): Promise<R> {
  return runAsLoad({ flight, bypassed: currentLoadOf()?.bypassed ?? [] }, call)
}

/** A load in progress. */
export interface ActiveLoad {
  abort(reason: unknown): void
  /** Lets other processes load, before the store is closed. */
  readonly endClaim?: (() => Promise<unknown>) | undefined
}

/** The loads of all caches over one store, for `close()`. */
export class ActiveLoads {
  readonly #loads = new Set<ActiveLoad>()
  readonly #background = new Set<Promise<void>>()
  #closing: { readonly reason: unknown } | undefined

  /** Call it before the load begins. If `close()` was called before, the load is aborted as soon as it has begun. */
  add(load: ActiveLoad): void {
    this.#loads.add(load)
    const closing = this.#closing
    if (closing !== undefined)
      queueMicrotask(() => this.#loads.has(load) && load.abort(closing.reason))
  }

  remove(load: ActiveLoad): void {
    this.#loads.delete(load)
  }

  /** Registers a refresh for which no caller waits. */
  trackBackground(work: Promise<void>): void {
    this.#background.add(work)
    const remove = () => this.#background.delete(work)
    work.then(remove, remove)
  }

  /** Makes `close()` wait until the returned function is called, but not longer than `ms` milliseconds. */
  delayClose(ms: number): () => void {
    const ended = new Deferred<void>()
    let cancel = () => {}
    const abort = () => {
      // The process must not end before, although nothing else may keep it alive.
      cancel = after(ms, () => ended.resolve(), true)
    }
    const active = { abort }
    this.add(active)
    this.trackBackground(ended.promise)
    return () => {
      this.remove(active)
      cancel()
      ended.resolve()
    }
  }

  /** Aborts all loads, ends their claims, and waits for those in the background. */
  async close(reason: unknown): Promise<void> {
    this.#closing = { reason }
    const loads = [...this.#loads]
    for (const load of loads) load.abort(reason)
    const ends = loads.map((load) => load.endClaim?.())
    await Promise.allSettled([...this.#background, ...ends])
  }
}
