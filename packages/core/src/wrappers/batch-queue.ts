import type { InFlight } from '../time/in-flight.ts'

/** A batch with fewer keys is not split in two. */
const minKeysToSplit = 16

/** Calls that are merged into one. */
export interface Batch {
  /** The number of keys. */
  readonly size: number
  has(key: string): boolean
  /** Sends the batch. The promise resolves when it succeeds or fails. */
  send(): Promise<unknown>
}

/** The unsent batches of one kind: one, or two that are sent one after the other. */
export class BatchQueue<B extends Batch> {
  readonly #createBatch: () => B
  readonly #callsInFlight: InFlight
  readonly #batchesInFlight: InFlight
  readonly #overlap: boolean
  #first: B | undefined
  /** Sent one turn of the event loop after the first. */
  #second: B | undefined
  /** The size of the last batch that was sent. */
  #lastSize = 0
  #isScheduled = false

  /**
   * @param callsInFlight counts everything that is sent
   * @param batchesInFlight counts batches of several keys, for all queues that share a connection
   */
  constructor(
    createBatch: () => B,
    callsInFlight: InFlight,
    batchesInFlight: InFlight,
    overlap: boolean,
  ) {
    this.#createBatch = createBatch
    this.#callsInFlight = callsInFlight
    this.#batchesInFlight = batchesInFlight
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
    this.#first ??= this.#createBatch()
    const first = this.#first
    if (!this.#overlap || first.size < minKeysToSplit || first.has(key)) return first
    // With a batch in flight, client and server already work at the same time.
    if (this.#second === undefined && this.#batchesInFlight.count > 0) return first
    this.#second ??= this.#createBatch()
    return this.#second.size < first.size ? this.#second : first
  }

  /**
   * Sends the batch when the callbacks of this turn have run. A call that is alone in an idle process waits for its own
   * callback only, and the promise reactions of that. Each queue has a schedule of its own, so that a batch is sent in
   * the asynchronous context of its first call.
   */
  schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    const isBusy = this.#lastSize > 1 || this.#callsInFlight.count > 0
    if (isBusy) setImmediate(this.#onTurnEnd)
    else process.nextTick(this.#onTurnEnd)
  }

  send(): void {
    const [first, second] = [this.#first, this.#second]
    this.#first = undefined
    this.#second = undefined
    if (first !== undefined) this.#send(first)
    if (second !== undefined) this.#send(second)
  }

  // Created once: a function per batch would add to the cost of a single call.
  readonly #onTurnEnd = () => {
    this.#isScheduled = false
    const batch = this.#first
    this.#first = undefined
    if (batch !== undefined) this.#send(batch)
    if (this.#second !== undefined) setImmediate(this.#onNextTurn)
  }

  readonly #onNextTurn = () => {
    const batch = this.#second
    this.#second = undefined
    if (batch !== undefined) this.#send(batch)
  }

  #send(batch: B): void {
    this.#lastSize = batch.size
    const inFlight = batch.size > 1 ? this.#batchesInFlight : undefined
    this.#callsInFlight.begin()
    inFlight?.begin()
    batch.send().then(() => {
      this.#callsInFlight.end()
      inFlight?.end()
    })
  }
}
