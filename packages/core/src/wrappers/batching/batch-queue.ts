import { AsyncResource } from 'node:async_hooks'
import type { InFlight } from '../../calls/lifecycle.ts'
import type { Awaitable } from '../../store.ts'
import { runForCallers } from '../../tracing/requests.ts'
import type { Batch } from './batches.ts'

/** Minimum number of keys in the first batch before a second one is begun. */
const minKeysToSplit = 16

/** What the queues of a wrapper for reads, or for writes, share. */
export interface SharedState {
  /** Whether to split many keys into two batches. */
  readonly overlap: boolean
  /** Counts everything that the wrapper sends. */
  readonly callsInFlight: InFlight
  /** Counts the batches of several keys of all queues that share a connection. */
  readonly batchesInFlight: InFlight
  readonly turnEnd: TurnEnd
}

/** Collects calls of one kind in a batch, or with `overlap` in two that are sent one after the other. */
export class BatchQueue<B extends Batch> {
  readonly #createBatch: () => B
  readonly #shared: SharedState
  #first: B | undefined
  /** Sent one turn of the event loop after the first. */
  #second: B | undefined
  /** The number of keys at the end of the callback in which the unsent batches were begun. */
  #sizeAfterCallback = 0
  /** Whether other callbacks of the turn added keys to the last batch. */
  #hasGrown = false
  #isScheduled = false

  constructor(createBatch: () => B, shared: SharedState) {
    this.#createBatch = createBatch
    this.#shared = shared
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
    const first = this.#first
    if (first === undefined) {
      this.#first = this.#createBatch()
      return this.#first
    }
    if (!this.#shared.overlap || first.size < minKeysToSplit || first.has(key)) return first
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
    const reply = sent(batch)
    // Before the outcomes: a caller that makes one call after another is alone again when it makes the next.
    const onReply = () => {
      callsInFlight.end()
      batchesInFlight?.end()
    }
    if (reply instanceof Promise) reply.then(onReply, onReply)
    else onReply()
    batch.settle(reply)
  }
}

function sent(batch: Batch): Awaitable<unknown> {
  try {
    return batch.callers === undefined
      ? batch.send()
      : runForCallers(batch.callers, () => batch.send())
  } catch (error) {
    return Promise.reject(error)
  }
}

interface PendingCall {
  readonly call: () => void
  /** `undefined` for the first call of a turn, whose context the end of the turn has. */
  readonly context: AsyncResource | undefined
}

/**
 * Makes calls when the callbacks of this turn of the event loop have run, each in the asynchronous context in which it was
 * added. Nothing else runs between them, so that a driver can send the requests of all in one write.
 */
export class TurnEnd {
  #pending: PendingCall[] = []

  add(call: () => void): void {
    const isFirst = this.#pending.length === 0
    this.#pending.push({ call, context: isFirst ? undefined : new AsyncResource('stowage:batch') })
    if (isFirst) setImmediate(this.#end)
  }

  readonly #end = () => {
    const pending = this.#pending
    this.#pending = []
    for (const { call, context } of pending) {
      if (context === undefined) call()
      else context.runInAsyncScope(call)
    }
  }
}
