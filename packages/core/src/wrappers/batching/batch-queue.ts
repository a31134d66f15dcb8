import type { InFlight } from '../../calls/in-flight.ts'
import type { CallEvent } from '../../channels.ts'
import type { Awaitable } from '../../store.ts'
import { runForCallers } from '../../tracing/callers.ts'
import type { TurnEnd } from './turn-end.ts'

/** Minimum number of keys in the first batch before a second one is begun. */
const minKeysToSplit = 16

/** Calls that are merged into one. */
export interface Batch {
  /** The number of keys. */
  readonly size: number
  /** The calls of caches that wait for it, if they are known. */
  callers: readonly CallEvent[] | undefined
  has(key: string): boolean
  /** Sends the batch. `onReply` is called when it has succeeded or failed, before its calls get their outcomes. */
  send(onReply: () => void): void
}

/** What the queues of a wrapper share. */
export interface SharedState {
  /** Counts everything that the wrapper sends. */
  readonly callsInFlight: InFlight
  /** Counts the batches of several keys of all queues that share a connection. */
  readonly batchesInFlight: InFlight
  readonly turnEnd: TurnEnd
}

/**
 * Makes a call, and returns its result; a rejected promise if it throws. `onReply` is called when it has succeeded or failed,
 * before all that depends on the result.
 */
export function notifying<T>(call: () => Awaitable<T>, onReply: () => void): Awaitable<T> {
  try {
    const result = call()
    if (result instanceof Promise) result.then(onReply, onReply)
    else onReply()
    return result
  } catch (error) {
    onReply()
    return Promise.reject(error)
  }
}

/** Collects calls of one kind in a batch, or with `overlap` in two that are sent one after the other. */
export class BatchQueue<B extends Batch> {
  readonly #createBatch: () => B
  readonly #shared: SharedState
  readonly #overlap: boolean
  #first: B | undefined
  /** Sent one turn of the event loop after the first. */
  #second: B | undefined
  /** The number of keys at the end of the callback in which the unsent batches were begun. */
  #sizeAfterCallback = 0
  /** Whether other callbacks of the turn added keys to the last batch. */
  #hasGrown = false
  #isScheduled = false

  /** @param overlap whether to split many keys into two batches */
  constructor(createBatch: () => B, shared: SharedState, overlap: boolean) {
    this.#createBatch = createBatch
    this.#shared = shared
    this.#overlap = overlap
  }

  get isEmpty(): boolean {
    return this.#first === undefined && this.#second === undefined
  }

  /** The number of keys in unsent batches. */
  get size(): number {
    return (this.#first?.size ?? 0) + (this.#second?.size ?? 0)
  }

  has(key: string): boolean {
    return this.#first?.has(key) === true || this.#second?.has(key) === true
  }

  /** Returns the batch that contains the key, or to which it must be added. */
  batchFor(key: string): B {
    if (this.#second?.has(key)) return this.#second
    if (this.#first?.has(key)) return this.#first
    return this.batchForNewKey()
  }

  /** Returns the batch to which a key must be added that no batch contains. */
  batchForNewKey(): B {
    this.#first ??= this.#createBatch()
    const first = this.#first
    if (!this.#overlap || first.size < minKeysToSplit) return first
    // With a batch in flight, client and server already work at the same time.
    if (this.#second === undefined && this.#shared.batchesInFlight.count > 0) return first
    this.#second ??= this.#createBatch()
    return this.#second.size < first.size ? this.#second : first
  }

  /**
   * Sends the batch when the callbacks of this turn of the event loop have run. In an idle process, sends it right after
   * the current callback instead, because waiting would only delay a single call. In both cases a batch is sent in the
   * asynchronous context of its first call.
   */
  schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    const { callsInFlight, turnEnd } = this.#shared
    if (this.#hasGrown || callsInFlight.count > 0) {
      turnEnd.add(this.#onTurnEnd)
      process.nextTick(this.#onCallbackEnd)
    } else process.nextTick(this.#sendScheduled)
  }

  /** Sends both batches now. */
  send(): void {
    const [first, second] = [this.#first, this.#second]
    this.#first = undefined
    this.#second = undefined
    if (first !== undefined) this.#send(first)
    if (second !== undefined) this.#send(second)
  }

  // Functions that are created once: one per batch would add to the cost of a single call.
  readonly #onCallbackEnd = () => {
    this.#sizeAfterCallback = this.size
  }

  readonly #onTurnEnd = () => {
    this.#hasGrown = this.size > this.#sizeAfterCallback
    this.#sendScheduled()
  }

  readonly #sendScheduled = () => {
    this.#isScheduled = false
    const batch = this.#first
    this.#first = undefined
    if (batch !== undefined) this.#send(batch)
    if (this.#second !== undefined) this.#shared.turnEnd.add(this.#onNextTurn)
  }

  readonly #onNextTurn = () => {
    const batch = this.#second
    this.#second = undefined
    if (batch !== undefined) this.#send(batch)
  }

  #send(batch: B): void {
    const { callsInFlight } = this.#shared
    const batchesInFlight = batch.size > 1 ? this.#shared.batchesInFlight : undefined
    callsInFlight.begin()
    batchesInFlight?.begin()
    // Before the outcomes: a caller that makes one call after another is alone again when it makes the next.
    const onReply = () => {
      callsInFlight.end()
      batchesInFlight?.end()
    }
    if (batch.callers === undefined) batch.send(onReply)
    else runForCallers(batch.callers, () => batch.send(onReply))
  }
}
