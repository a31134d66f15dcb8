import { publishError } from '../channels.ts'
import type { Found } from '../freshness/entry-reader.ts'
import type { Claim } from '../leases/claim.ts'
import { beginLocalBackoff } from '../leases/local-backoff.ts'
import { type Flight, type FlightResult, noResult } from '../loading/flight.ts'
import type { Versions } from '../tags/tag-versions.ts'
import type { LoadJob } from './load-job.ts'
import { startLoad } from './loader.ts'
import { endClaim, storeLoadedValue } from './store-value.ts'

const passMs = 1_000
const noVersions: Versions = new Map()

/** Why the signal of a load aborts that has lost its lease. */
class LeaseLostError extends Error {
  override readonly name: string = 'LeaseLostError'

  constructor() {
    super('The key was written or deleted during the load, so its value will not be stored.')
  }
}

export interface LoadAttempt {
  readonly flight: Flight
  readonly claim: Claim
  /** What the key contained before the load. */
  readonly found?: Found
  /** The versions of the tags as they were before the load. */
  readonly versions?: Versions
  readonly isBackground?: boolean
}

/** Runs the loader and stores its value. If the loader fails, returns the stale value if that is allowed. */
export async function runLoad<T>(job: LoadJob<T>, attempt: LoadAttempt): Promise<FlightResult> {
  const { flight, claim, found, versions = noVersions, isBackground = false } = attempt
  if (flight.givenUp !== undefined) {
    flight.isAbandoned = true
    return handleFailure(job, attempt, flight.givenUp.reason)
  }
  flight.beginLoad()
  const startedAt = performance.now()
  const load = { flight, bypassed: [] }
  let isLost = false
  let release: (() => void) | undefined
  const endOnClose = () => {
    release?.()
    return endClaim(job, claim)
  }
  const { requests, value } = startLoad(job, {
    load,
    isBackground,
    stale: found?.entry,
    endClaim: isBackground ? undefined : endOnClose,
  })
  release = claim.keepAlive(() => {
    isLost = true
    requests.abort(new LeaseLostError())
  })
  let loaded: T
  try {
    loaded = await value
  } catch (error) {
    // The key was written, and the loader failed, perhaps because its signal aborted.
    if (isLost) return noResult
    return await handleFailure(job, attempt, error)
  } finally {
    release()
  }
  try {
    return await storeLoadedValue(job, flight, {
      value: loaded,
      requests,
      claim,
      versions,
      startedAt,
    })
  } catch (error) {
    // The value cannot be encoded, or its ttl or tags are invalid: as if the loader had failed.
    return await handleFailure(job, attempt, error)
  }
}

async function handleFailure<T>(
  job: LoadJob<T>,
  { flight, claim, found }: LoadAttempt,
  error: unknown,
): Promise<FlightResult> {
  if (flight.isAbandoned) {
    await endClaim(job, claim)
    throw error
  }
  const stale = staleIfError(job, found)
  const backoff = job.options.backoff(
    found?.entry !== undefined && found.staleMs < job.options.staleWindow,
  )
  if (backoff > 0 && claim.replacesStale && !claim.canBeLost)
    beginLocalBackoff(job.scope, job.key, backoff)
  if (backoff > 0) await endClaim(job, claim, { kind: 'F', ms: backoff })
  else await endClaim(job, claim, claim.replacesStale ? undefined : { kind: 'P', ms: passMs })
  if (stale === undefined) throw error
  publishError(job.scope.entries.event(job.key), error)
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
  return { item: found.item, source: 'read', audience: 'beforeRead' }
}
