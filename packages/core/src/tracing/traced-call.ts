import { type CacheOperation, type CallEvent, channels, tracing } from '../channels.ts'
import { CacheError } from '../errors.ts'
import type { Awaitable } from '../store.ts'
import { payloadBytes } from '../values/payload.ts'
import { areCallersKnown, runForCallers } from './callers.ts'
import { trace } from './trace.ts'

/** How a call received the value of a key. */
export type KeyOutcome = 'hit' | 'miss' | 'stale' | 'shared'

/** The cache of a call. */
export interface CallSource {
  readonly name: string
  readonly store: { readonly name: string }
  readonly keyspace: { readonly prefix: string }
}

/** Whether somebody subscribes to calls or to their failures. The only cost of a call otherwise. */
export function areCallsObserved(): boolean {
  return tracing.cache.hasSubscribers || channels.error.hasSubscribers
}

/** A call of a cache, while it runs. */
export class TracedCall implements CallEvent {
  readonly cache: string
  readonly store: string
  readonly operation: CacheOperation
  readonly keys: readonly string[]
  outcome: CallEvent['outcome'] = undefined
  hits = 0
  misses = 0
  stale = 0
  shared = 0
  bytes: number | undefined = undefined
  durationMs = 0
  error: unknown = undefined
  run: CallEvent['run'] = undefined
  /** Whether the caller has given up, which is not a failure. */
  isAborted = false
  #isSettled = false

  constructor({ name, store }: CallSource, operation: CacheOperation, keys: readonly string[]) {
    this.cache = name
    this.store = store.name
    this.operation = operation
    this.keys = keys
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

  /** Adds the size of an item that was read or written, if it is bytes. */
  noteItem(item: unknown): void {
    if (typeof item !== 'string' && !(item instanceof Uint8Array)) return
    this.bytes = (this.bytes ?? 0) + payloadBytes(item)
  }

  settle(): void {
    this.#isSettled = true
    if (this.hits + this.misses + this.stale + this.shared === 0) this.outcome = 'done'
    else if (this.misses > 0) this.outcome = 'miss'
    else if (this.shared > 0) this.outcome = 'shared'
    else this.outcome = this.stale > 0 ? 'stale' : 'hit'
  }
}

/** Runs a call, and publishes it and its failure. To be used only if {@link areCallsObserved}. */
export function observeCall<T>(
  source: CallSource,
  operation: CacheOperation,
  keys: readonly string[],
  run: (call: TracedCall) => Awaitable<T>,
): Awaitable<T> {
  const call = new TracedCall(source, operation, keys)
  const fail = (error: unknown): never => {
    call.outcome = call.isAborted ? 'aborted' : 'error'
    if (!call.isAborted) publishFailure(source, operation, keys, error)
    throw error
  }
  const work = (): Awaitable<T> => {
    try {
      const result = run(call)
      return result instanceof Promise ? result.catch(fail) : result
    } catch (error) {
      return fail(error)
    }
  }
  if (!tracing.cache.hasSubscribers) return work()
  const serving = areCallersKnown() ? () => runForCallers([call], work) : work
  return trace(tracing.cache, call, serving, () => call.settle())
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
