import { Flight } from './flight.ts'

/** The flights that can be joined, at most one per key. */
export class SingleFlight {
  readonly #flights = new Map<string, Flight>()

  find(key: string): Flight | undefined {
    return this.#flights.size === 0 ? undefined : this.#flights.get(key)
  }

  /** Begins a flight for a key that has none. */
  begin(key: string): Flight {
    const flight = new Flight(key)
    this.#flights.set(key, flight)
    return flight
  }

  /** Ends a flight, and resolves it to `item` if one was read from the store. */
  end(flight: Flight, item?: unknown): void {
    if (this.#flights.get(flight.key) === flight) this.#flights.delete(flight.key)
    if (item !== undefined) flight.resolve(item)
  }

  /** To be called when the key is written or deleted: its flight is not joined any more, and its value not stored. */
  invalidate(key: string): void {
    const flight = this.find(key)
    if (flight === undefined) return
    flight.isCurrent = false
    this.#flights.delete(key)
  }

  /** The same for every key that begins with `prefix`. */
  invalidateAll(prefix: string): void {
    for (const key of [...this.#flights.keys()]) if (key.startsWith(prefix)) this.invalidate(key)
  }
}
