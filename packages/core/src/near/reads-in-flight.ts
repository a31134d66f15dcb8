/** A read that has been sent. Reads of a key that are in flight at the same time share it. */
export interface ReadInFlight {
  readonly key: string
  /** Whether the key has been invalidated since the read was sent: its result may be the old value. */
  isOutdated: boolean
  /** How many reads share it. */
  reads: number
}

/** The reads in flight, so that a result that was invalidated on the way is not kept. */
export class ReadsInFlight {
  readonly #reads = new Map<string, ReadInFlight>()

  begin(key: string): ReadInFlight {
    let read = this.#reads.get(key)
    if (read === undefined) {
      read = { key, isOutdated: false, reads: 0 }
      this.#reads.set(key, read)
    }
    read.reads++
    return read
  }

  end(read: ReadInFlight): void {
    read.reads--
    if (read.reads === 0 && this.#reads.get(read.key) === read) this.#reads.delete(read.key)
  }

  /** Later reads of the key may be kept again. */
  invalidate(key: string): void {
    const read = this.#reads.get(key)
    if (read === undefined) return
    read.isOutdated = true
    this.#reads.delete(key)
  }

  invalidateAll(prefix: string): void {
    for (const key of this.#reads.keys()) if (key.startsWith(prefix)) this.invalidate(key)
  }
}
