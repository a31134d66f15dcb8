import type { InFlight } from '../time/in-flight.ts'

/** A batch with fewer keys is not split in two. */
const minKeysToSplit = 16

/** Calls that are sent as one. */
export interface Batch {
  readonly size: number
  has(key: string): boolean
  /** A promise that resolves when it is answered, well or not; `undefined` for a lone call, which nothing overlaps. */
  send(): Promise<void> | undefined
}

/** The batches of one kind that are being filled: one, or two that leave one after the other. */
export class BatchQueue<B extends Batch> {
  readonly #open: () => B
  readonly #inFlight: InFlight
  readonly #overlap: boolean
  #first: B | undefined
  /** Leaves a turn of the event loop after the first. */
  #second: B | undefined

  /** `inFlight` counts the batches of all queues that share a connection. */
  constructor(open: () => B, inFlight: InFlight, overlap: boolean) {
    this.#open = open
    this.#inFlight = inFlight
    this.#overlap = overlap
  }

  get isEmpty(): boolean {
    return this.#first === undefined && this.#second === undefined
  }

  has(key: string): boolean {
    return this.#first?.has(key) === true || this.#second?.has(key) === true
  }

  /** Where the key is in already, or goes to. */
  batchFor(key: string): B {
    if (this.#second?.has(key)) return this.#second
    this.#first ??= this.#open()
    const first = this.#first
    if (!this.#overlap || first.size < minKeysToSplit || first.has(key)) return first
    // Another one is under way: client and server are both busy as it is.
    if (this.#second === undefined && this.#inFlight.count > 0) return first
    this.#second ??= this.#open()
    return this.#second.size < first.size ? this.#second : first
  }

  send(): void {
    this.sendFirst()
    this.sendSecond()
  }

  /** Says whether there is a second one. */
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
    const answered = batch.send()
    if (answered === undefined) return
    this.#inFlight.begin()
    answered.then(() => this.#inFlight.end())
  }
}
