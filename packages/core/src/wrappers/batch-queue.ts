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

  send(): void {
    this.sendFirst()
    this.sendSecond()
  }

  /** Returns whether there is a second batch. */
  sendFirst(): boolean {
    const batch = this.#first
    this.#first = undefined
    if (batch !== undefined) this.#send(batch)
    return this.#second !== undefined
  }

  sendSecond(): void {
    const batch = this.#second
    this.#second = undefined
    if (batch !== undefined) this.#send(batch)
  }

  #send(batch: B): void {
    const inFlight = batch.size > 1 ? this.#batchesInFlight : undefined
    this.#callsInFlight.begin()
    inFlight?.begin()
    batch.send().then(() => {
      this.#callsInFlight.end()
      inFlight?.end()
    })
  }
}
