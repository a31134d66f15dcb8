import { AsyncLocalStorage } from 'node:async_hooks'
import type { Awaitable } from '../store.ts'
import type { Flight } from './flight.ts'

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
