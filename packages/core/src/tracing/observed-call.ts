import { performance } from 'node:perf_hooks'
import { types } from 'node:util'
import { type CacheOperation, type CallEvent, channels, tracing } from '../channels.ts'
import { CacheError } from '../errors.ts'
import type { Awaitable, Payload } from '../store.ts'
import { payloadBytes } from '../values/payload.ts'
import { areCallersKnown, runForCallers, runUnsampled } from './requests.ts'
import { begin, publishEnd, publishError } from './trace.ts'

/** How a call received the value of a key. */
export type KeyOutcome = 'hit' | 'miss' | 'stale' | 'shared'

/** The cache of a call. */
export interface CallSource {
  readonly name: string
  readonly store: { readonly name: string }
  readonly keyspace: { readonly prefix: string }
}

// Not `tracing.cache.hasSubscribers`, which V8 does not inline: it takes a fifth of a hit in memory.
const { start, end, asyncStart, asyncEnd, error: failed } = tracing.cache
const { error } = channels

/** Whether somebody subscribes to calls or to their failures. The only cost of a call otherwise. */
export function areCallsObserved(): boolean {
  return (
    start.hasSubscribers ||
    asyncEnd.hasSubscribers ||
    end.hasSubscribers ||
    asyncStart.hasSubscribers ||
    failed.hasSubscribers ||
    error.hasSubscribers
  )
}

/** A call of a cache, while it runs. */
export class ObservedCall implements CallEvent {
  readonly cache: string
  readonly store: string
  readonly operation: CacheOperation
  readonly keys: readonly string[]
  outcome: CallEvent['outcome'] = undefined
  hits = 0
  misses = 0
  stale = 0
  shared = 0
  durationMs = 0
  error: unknown = undefined
  run: CallEvent['run'] = undefined
  isSampled = true
  /** Whether the caller has given up, which is not a failure. */
  isAborted = false
  readonly #source: CallSource
  readonly #startedAt = performance.now()
  #item: unknown = undefined
  #otherItems: unknown[] | undefined = undefined
  #hasReturned = false
  #isSettled = false

  constructor(source: CallSource, operation: CacheOperation, keys: readonly string[]) {
    this.#source = source
    this.cache = source.name
    this.store = source.store.name
    this.operation = operation
    // A wrong argument is the error of the call itself.
    this.keys = Array.isArray(keys) ? keys : []
  }

  /** Counts how the value of a key was received. Without effect once the call has settled. */
  note(outcome: KeyOutcome): void {
    if (this.#isSettled) return
    if (outcome === 'hit') this.hits++
    else if (outcome === 'miss') this.misses++
    else this[outcome]++
  }

  /** Counts a read of a key. `item` is that of a fresh entry, `undefined` for a miss. */
  noteRead(item: unknown): void {
    this.note(item === undefined ? 'miss' : 'hit')
    this.noteItem(item)
  }

  /** Counts the value of a key that was found and is returned, for how long it has been stale. */
  noteFound({ item, staleMs }: { readonly item: unknown; readonly staleMs: number }): void {
    this.note(staleMs >= 0 ? 'stale' : 'hit')
    this.noteItem(item)
  }

  /** Adds an item that was read or written. Its size is calculated when a subscriber reads it. */
  noteItem(item: unknown): void {
    if (this.#item === undefined) this.#item = item
    else if (this.#otherItems === undefined) this.#otherItems = [item]
    else this.#otherItems.push(item)
  }

  get bytes(): number | undefined {
    const items = [this.#item, ...(this.#otherItems ?? [])].filter(isPayload)
    return items.length === 0 ? undefined : items.reduce((sum, item) => sum + payloadBytes(item), 0)
  }

  /** Publishes that the call has returned, unless it has settled before. */
  return(): void {
    if (this.#hasReturned) return
    this.#hasReturned = true
    end.publish(this)
  }

  /** Settles the call like the promise, unless it has settled before. */
  settleWith<T>(result: Promise<T>): Promise<T> {
    return result.then(
      (value) => {
        this.succeed()
        return value
      },
      (error) => {
        this.fail(error)
        throw error
      },
    )
  }

  /** Publishes that the call has succeeded. Without effect once it has settled. */
  succeed(): void {
    if (this.#isSettled) return
    this.#isSettled = true
    this.outcome = this.#successfulOutcome()
    this.return()
    publishEnd(tracing.cache, this, this.#startedAt)
  }

  /** Publishes that the call has failed. Without effect once it has settled. */
  fail(error: unknown): void {
    if (this.#isSettled) return
    this.#isSettled = true
    this.outcome = this.isAborted ? 'aborted' : 'error'
    if (!this.isAborted) publishFailure(this.#source, this.operation, this.keys, error)
    this.return()
    publishError(tracing.cache, this, error)
    publishEnd(tracing.cache, this, this.#startedAt)
  }

  #successfulOutcome(): CallEvent['outcome'] {
    if (this.misses > 0) return 'miss'
    if (this.shared > 0) return 'shared'
    if (this.stale > 0) return 'stale'
    return this.hits > 0 ? 'hit' : 'done'
  }
}

function isPayload(item: unknown): item is Payload {
  return typeof item === 'string' || types.isUint8Array(item)
}

/** Runs a call, and publishes it and its failure. To be used only if {@link areCallsObserved}. */
export function observeCall<T>(
  source: CallSource,
  operation: CacheOperation,
  keys: readonly string[],
  run: (call: ObservedCall) => Awaitable<T>,
): Awaitable<T> {
  const call = new ObservedCall(source, operation, keys)
  try {
    const result = beginCall(call, run)
    if (result instanceof Promise) return call.settleWith(result)
    call.succeed()
    return result
  } catch (error) {
    call.fail(error)
    throw error
  }
}

/** Runs a call. `run` settles the call itself; if it throws, the caller of this function does. */
export function beginCall<T>(call: ObservedCall, run: (call: ObservedCall) => T): T {
  const result = begin(start, call, runAsCaller, run)
  call.return()
  return result
}

/** Runs a call so that what it sends to the store is known to serve it. Without a closure unless it is sampled. */
function runAsCaller<T>(call: ObservedCall, run: (call: ObservedCall) => T): T {
  if (!areCallersKnown()) return run(call)
  return call.isSampled ? runForCallers([call], () => run(call)) : runUnsampled(call, run)
}

/** Publishes the failure of a call that rejects with it. */
export function publishFailure(
  source: CallSource,
  operation: CacheOperation,
  keys: readonly string[],
  error: unknown,
): void {
  if (!channels.error.hasSubscribers) return
  const ownKey = CacheError.is(error) ? error.key : undefined
  const [first] = keys
  channels.error.publish({
    cache: source.name,
    store: source.store.name,
    key: ownKey ?? (first === undefined ? '' : source.keyspace.prefix + first),
    operation,
    isRejected: true,
    error,
  })
}
