import { Deferred } from '../calls/deferred.ts'
import { channels, publishError, tracing } from '../channels.ts'
import type { Entry } from '../entry.ts'
import { CacheError } from '../errors.ts'
import type { Found } from '../freshness/entry-reader.ts'
import { beginLocalBackoff } from '../leases/hit-for-miss.ts'
import { runAsLoad } from '../loading/current-load.ts'
import { RecordingContext } from '../loading/load-context.ts'
import { Flight, type FlightResult, noResult } from '../loading/single-flight.ts'
import type { Awaitable } from '../store.ts'
import { after } from '../time/wait.ts'
import { traceLoad } from '../tracing/trace.ts'
import type { LoadStart } from './claim-load.ts'
import type { LoadJob } from './load-job.ts'
import { endClaim, endOfFailedLoad, storeLoadedValue } from './store-value.ts'

/** Why the signal of a load aborts that has lost its lease. */
class LeaseLostError extends Error {
  override readonly name: string = 'LeaseLostError'

  constructor() {
    super('The key was written or deleted during the load, so its value will not be stored.')
  }
}

/** A loader that has been called. */
interface RunningLoad<T> {
  readonly context: RecordingContext<T>
  /** Rejects early after `loadTimeout`, on `close()`, or if no caller waits any more. */
  readonly value: Promise<T>
}

/** Runs the loader and stores its value. If the loader fails, returns the stale value if that is allowed. */
export async function runLoad<T>(
  job: LoadJob<T>,
  flight: Flight,
  start: LoadStart,
  isBackground = false,
): Promise<FlightResult> {
  const { claim, found, versions } = start
  let isLost = false
  let stopRenewing: (() => void) | undefined
  try {
    if (flight.givenUp !== undefined) {
      flight.isAbandoned = true
      throw flight.givenUp.reason
    }
    flight.beginLoad()
    const startedAt = performance.now()
    const endOnClose = () => {
      stopRenewing?.()
      return endClaim(job, claim)
    }
    const { context, value } = callLoader(job, flight, found?.entry, isBackground, endOnClose)
    stopRenewing = claim.keepAlive(() => {
      isLost = true
      context.abort(new LeaseLostError())
    })
    const loaded = await value.finally(stopRenewing)
    return await storeLoadedValue(job, flight, {
      value: loaded,
      context,
      claim,
      versions,
      startedAt,
    })
  } catch (error) {
    // The key was written, and the load failed, perhaps because its signal aborted.
    if (isLost) return noResult
    // A value that cannot be encoded, or whose ttl or tags are invalid, is a failure of the loader.
    return handleFailure(job, flight, start, error)
  }
}

/** Calls the loader, and stores nothing. */
export function loadUnstored<T>(job: LoadJob<T>): Promise<T> {
  const nothingToEnd = async () => {}
  return callLoader(job, new Flight(job.storageKey), undefined, true, nothingToEnd).value
}

/** Calls the loader in the asynchronous context of the caller, so that a loader that needs its own key is detected. */
function callLoader<T>(
  job: LoadJob<T>,
  flight: Flight,
  stale: Entry | undefined,
  isBackground: boolean,
  endOnClose: () => Promise<unknown>,
): RunningLoad<T> {
  const { activeLoads } = job.cache
  const result = new Deferred<T>()
  const context = new RecordingContext<T>(job.key, isBackground, stale)
  const end = () => {
    cancelTimeout()
    activeLoads.remove(active)
    flight.abort = undefined
  }
  const stop = (reason: unknown) => {
    end()
    context.abort(reason)
    result.reject(reason)
  }
  // A load that callers wait for may still return its value after close(), which ends its claim at once.
  const active = isBackground
    ? { abort: stop }
    : { abort: (reason: unknown) => context.abort(reason), endClaim: endOnClose }
  activeLoads.add(active)
  flight.abort = stop
  const cancelTimeout = stopAfterTimeout(job, stop)
  const value = runAsLoad({ flight, bypassed: [] }, loaderOf(job, context))
  value.finally(end).then(result.resolve, result.reject)
  return { context, value: result.promise }
}

/** The loader with its argument. Its duration is published if somebody listens. */
export function loaderOf<T>(job: LoadJob<T>, context: RecordingContext<T>): () => Awaitable<T> {
  const { cache, storageKey, key, load, group } = job
  // The loader of several keys is published once for all of them.
  const isTraced = group === undefined && tracing.load.hasSubscribers
  const { background } = context
  const call = isTraced
    ? () => traceLoad(cache.entries, [key], background, () => load(context))
    : () => load(context)
  if (!channels.load.hasSubscribers) return call
  return async () => {
    const start = performance.now()
    try {
      return await call()
    } finally {
      const durationMs = performance.now() - start
      channels.load.publish({ ...cache.entries.event(storageKey), durationMs })
    }
  }
}

function stopAfterTimeout<T>(
  { cache, storageKey, options }: LoadJob<T>,
  stop: (reason: unknown) => void,
): () => void {
  const { loadTimeout } = options
  if (loadTimeout === Infinity) return () => {}
  return after(loadTimeout, () =>
    stop(
      new CacheError(
        'ERR_CACHE_TIMEOUT',
        `remember failed: the load did not end within ${loadTimeout} ms (loadTimeout).`,
        { store: cache.entries.store.name, operation: 'remember', key: storageKey },
      ),
    ),
  )
}

async function handleFailure<T>(
  job: LoadJob<T>,
  flight: Flight,
  { claim, found }: LoadStart,
  error: unknown,
): Promise<FlightResult> {
  if (flight.isAbandoned) {
    await endClaim(job, claim)
    throw error
  }
  job.cache.audit?.pause()
  const stale = staleIfError(job, found)
  const backoff = job.options.backoff(
    found?.entry !== undefined && found.staleMs < job.options.staleWindow,
  )
  if (backoff > 0 && claim.replacesStale && !claim.canBeLost) {
    beginLocalBackoff(job.cache, job.storageKey, backoff)
  }
  await endClaim(
    job,
    claim,
    backoff > 0 ? { kind: 'failure', ms: backoff } : endOfFailedLoad(claim),
  )
  if (stale === undefined) throw error
  publishError(job.cache.entries.event(job.storageKey), error)
  return stale
}

/** The stale value, if it may be returned instead of an error. */
export function staleIfError<T>(
  { options }: LoadJob<T>,
  found: Found | undefined,
): FlightResult | undefined {
  // Without the option, also a fresh value whose refresh was requested is not returned.
  const { staleIfError: window } = options
  if (found?.entry === undefined || window === 0 || found.staleMs >= window) return undefined
  return { item: found.item, source: 'read', isStale: found.staleMs >= 0, audience: 'beforeRead' }
}
