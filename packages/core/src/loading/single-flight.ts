import { Flight } from './flight.ts'

/** The flights in progress, one per key. */
export class SingleFlight {
  readonly #running = new Map<string, Flight>()
  /** Writes of loaded values, which end after their flights may have been invalidated. */
  readonly #writeBacks = new Map<Promise<void>, string>()

  find(key: string): Flight | undefined {
    return this.#running.size === 0 ? undefined : this.#running.get(key)
  }

  /** Begins a flight for a key that has none. */
  begin(key: string): Flight {
    const flight = new Flight(key)
    this.#running.set(key, flight)
    return flight
  }

  /** Ends a flight, with the item that was read for it. Without one the flight has been settled already. */
  end(flight: Flight, item?: unknown): void {
    if (this.#running.get(flight.key) === flight) this.#running.delete(flight.key)
    if (item !== undefined) flight.resolve(item)
  }

  /** The key has been written or deleted: nobody joins its flight any more, and a loaded value is not stored. */
  invalidate(key: string): void {
    const flight = this.find(key)
    if (flight === undefined) return
    flight.isCurrent = false
    this.#running.delete(key)
  }

  /** The same for every key that begins with `prefix`. */
  invalidateAll(prefix: string): void {
    for (const key of [...this.#running.keys()]) if (key.startsWith(prefix)) this.invalidate(key)
  }

  /** Notes that the loaded value of a key is being stored. Returns `write`. */
  trackWriteBack(key: string, write: Promise<void>): Promise<void> {
    this.#writeBacks.set(write, key)
    const remove = () => this.#writeBacks.delete(write)
    write.then(remove, remove)
    return write
  }

  /** The writes of loaded values in flight whose keys begin with `prefix`. */
  writeBacks(prefix: string): Promise<void>[] {
    return [...this.#writeBacks].flatMap(([write, key]) => (key.startsWith(prefix) ? write : []))
  }
}
