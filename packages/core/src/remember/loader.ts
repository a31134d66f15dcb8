import { AsyncResource } from 'node:async_hooks'
import { Deferred } from '../calls/deferred.ts'
import { channels } from '../channels.ts'
import type { Entry } from '../entry.ts'
import { CacheError } from '../errors.ts'
import { type CurrentLoad, runAsLoad } from '../loading/current-load.ts'
import { Flight } from '../loading/flight.ts'
import { LoadRequests } from '../loading/load-context.ts'
import type { Awaitable } from '../store.ts'
import { after } from '../time/wait.ts'
import type { LoadJob } from './load-job.ts'

/** The asynchronous context of loads for which no caller waits: that of no request. */
const background = new AsyncResource('stowage:refresh')

/** Runs `work` in an asynchronous context that belongs to no request. */
export function runInBackground<T>(work: () => T): T {
  return background.runInAsyncScope(work)
}

/** How a load is run. */
export interface LoadRun {
  readonly load: CurrentLoad
  readonly isBackground: boolean
  /** The stale entry that the loader may use. */
  readonly stale: Entry | undefined
  /** Ends the claim of a load that `close()` does not wait for. */
  readonly endClaim?: (() => Promise<unknown>) | undefined
}

/** A loader that has been called. */
export interface RunningLoad<T> {
  readonly requests: LoadRequests<T>
  /** Rejects early after `loadTimeout`, on `close()`, or if no caller waits any more. */
  readonly value: Promise<T>
}

/** Calls the loader. */
export function startLoad<T>(job: LoadJob<T>, run: LoadRun): RunningLoad<T> {
  const { activeLoads } = job.scope
  const { flight } = run.load
  const value = new Deferred<T>()
  const requests = new LoadRequests<T>(job.name, run.isBackground, run.stale)
  const end = () => {
    cancelTimeout()
    activeLoads.remove(active)
    flight.abort = undefined
  }
  const stop = (reason: unknown) => {
    end()
    requests.abort(reason)
    value.reject(reason)
  }
  // A load that callers wait for may still return its value after close().
  const abort = run.isBackground ? stop : (reason: unknown) => requests.abort(reason)
  const active = { isBackground: run.isBackground, abort, endClaim: run.endClaim }
  activeLoads.add(active)
  flight.abort = stop
  const cancelTimeout = stopAfterTimeout(job, stop)
  callLoader(job, run.load, requests).finally(end).then(value.resolve, value.reject)
  return { requests, value: value.promise }
}

function stopAfterTimeout<T>(job: LoadJob<T>, stop: (reason: unknown) => void): () => void {
  const { loadTimeout } = job.options
  return loadTimeout === Infinity ? ignore : after(loadTimeout, () => stop(loadTimeoutError(job)))
}

function loadTimeoutError<T>({ scope, key, options }: LoadJob<T>): CacheError {
  return new CacheError(
    'ERR_CACHE_TIMEOUT',
    `remember failed: the load did not end within ${options.loadTimeout} ms (loadTimeout).`,
    { store: scope.entries.store.name, operation: 'remember', key },
  )
}

/** Calls the loader in the asynchronous context of the caller, so that a loader that needs its own key is detected. */
export function callLoader<T>(
  job: LoadJob<T>,
  load: CurrentLoad,
  requests: LoadRequests<T>,
): Promise<T> {
  return runAsLoad(load, () => timedLoad(job, requests))
}

/** Calls a loader for which several loads wait. */
export async function callSharedLoader<R>(
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

async function timedLoad<T>(
  { scope, key, load }: LoadJob<T>,
  requests: LoadRequests<T>,
): Promise<T> {
  if (!channels.load.hasSubscribers) return load(requests)
  const start = performance.now()
  try {
    return await load(requests)
  } finally {
    const durationMs = performance.now() - start
    channels.load.publish({ ...scope.entries.event(key), durationMs })
  }
}

function ignore(): void {}
