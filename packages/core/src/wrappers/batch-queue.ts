/** Fewer keys are not worth a batch of their own. */
const leastKeysOfTwo = 16

/** Calls that are sent as one. */
export interface Batch {
  readonly size: number
  has(key: string): boolean
  /** A promise that resolves when it is answered, well or not; `undefined` for a lone call, which nothing overlaps. */
  send(): Promise<void> | undefined
}

/** What several lanes have under way together. */
export interface Traffic {
  readonly overlaps: boolean
  underWay: number
}

/** The batches of one kind that are being filled: one, or two that leave one after the other. */
export class Lane<B extends Batch> {
  readonly #open: () => B
  readonly #traffic: Traffic
  #first: B | undefined
  /** Leaves a turn of the event loop after the first. */
  #second: B | undefined

  constructor(open: () => B, traffic: Traffic) {
    this.#open = open
    this.#traffic = traffic
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
    if (!this.#traffic.overlaps || first.size < leastKeysOfTwo || first.has(key)) return first
    // Another one is under way: client and server are both busy as it is.
    if (this.#second === undefined && this.#traffic.underWay > 0) return first
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
    this.#traffic.underWay++
    answered.then(() => this.#traffic.underWay--)
  }
}
