import { onAbort } from '../calls/on-abort.ts'
import { CacheError } from '../errors.ts'
import { checkSignal } from '../options/check-arguments.ts'
import { type Duration, milliseconds } from '../time/duration.ts'
import { after } from '../time/wait.ts'
import type { StoredEntries } from '../values/stored-entries.ts'
import type { Flight, StaleValue } from './single-flight.ts'

/** How long a caller waits. */
export interface CallerLimits {
  readonly timeout?: Duration | undefined
  readonly signal?: AbortSignal | undefined
}

/** A call of `remember` that waits for a limited time. */
export class LimitedCaller {
  /** The flight for which the caller waits now. */
  #flight: Flight | undefined
  #givenUp: { readonly reason: unknown } | undefined
  readonly #hasTimeout: boolean
  /** Whether the caller has received a stale value after its timeout. */
  isAnswered = false
  /** What the caller has read itself, if it has joined the flight after the stale value had been read. */
  #reading: { result: StaleValue | undefined } | undefined

  constructor(hasTimeout: boolean) {
    this.#hasTimeout = hasTimeout
  }

  /** The stale value that the caller receives after its timeout, if there is one. */
  get staleValue(): unknown {
    const stale = this.#reading === undefined ? this.#flight?.stale : this.#reading.result
    return stale?.decode()
  }

  enter(flight: Flight): void {
    this.#flight = flight
    this.#reading = undefined
    if (this.#hasTimeout && flight.stale !== undefined) this.#readStale(flight.stale)
    flight.enter()
    if (this.#givenUp !== undefined) flight.leave(this.#givenUp.reason)
  }

  /** At once, so that the timeout is not exceeded. */
  #readStale(stale: StaleValue): void {
    const reading: { result: StaleValue | undefined } = { result: undefined }
    this.#reading = reading
    stale.readAgain().then(
      (result) => {
        reading.result = result
      },
      () => {},
    )
  }

  giveUp(reason: unknown): void {
    this.#givenUp = { reason }
    this.#flight?.leave(reason)
  }
}

/** A call with limits. */
export interface LimitedCall {
  readonly entries: StoredEntries
  readonly storageKey: string
  /** Set if somebody subscribes to calls. */
  readonly observed: { note(outcome: 'stale'): void; isAborted: boolean } | undefined
}

/** Whether a call has limits. Most have none. */
export function hasLimits({ timeout, signal }: CallerLimits): boolean {
  return timeout !== undefined || signal !== undefined
}

/** Settles like `run`, unless the signal of the caller aborts or its timeout passes first. */
export async function withLimits<T>(
  { timeout, signal }: CallerLimits,
  call: LimitedCall,
  run: (caller: LimitedCaller) => Promise<T>,
): Promise<T> {
  checkSignal(signal)
  if (signal?.aborted) {
    noteAbort(call)
    throw signal.reason
  }
  const timeoutMs = timeout === undefined ? undefined : milliseconds(timeout, 'remember: timeout')
  const caller = new LimitedCaller(timeoutMs !== undefined)
  // The load continues after the caller has given up.
  const result = run(caller)
  return new Promise<T>((resolve, reject) => {
    const abort = () => {
      caller.giveUp(signal?.reason)
      noteAbort(call)
      reject(signal?.reason)
    }
    const stopListening = signal && onAbort(signal, abort)
    const cancelTimeout =
      timeoutMs === undefined ? undefined : expire(timeoutMs, caller, call, resolve, reject)
    const settle = () => {
      stopListening?.()
      cancelTimeout?.()
    }
    result.then(resolve, reject)
    result.then(settle, settle)
  })
}

function noteAbort({ observed }: LimitedCall): void {
  if (observed !== undefined) observed.isAborted = true
}

function expire<T>(
  ms: number,
  caller: LimitedCaller,
  { entries, storageKey, observed }: LimitedCall,
  resolve: (value: T) => void,
  reject: (error: unknown) => void,
): () => void {
  return after(ms, () => {
    const stale = caller.staleValue
    if (stale !== undefined) {
      caller.isAnswered = true
      observed?.note('stale')
      entries.publishStale(storageKey)
      return resolve(stale as T)
    }
    const message = `remember failed: no value within ${ms} ms.`
    const at = { store: entries.store.name, operation: 'remember', key: storageKey }
    return reject(new CacheError('ERR_CACHE_TIMEOUT', message, at))
  })
}
