import type { Flight } from '../loading/flight.ts'

/** The flights of this process that hold a lease or are about to take it, by the id of the lease. */
export class LeaseHolders {
  readonly #flights = new Map<string, Flight>()

  get(id: string): Flight | undefined {
    return this.#flights.get(id)
  }

  has(id: string): boolean {
    return this.#flights.has(id)
  }

  set(id: string, flight: Flight): void {
    this.#flights.set(id, flight)
  }

  /** Removes the flight, unless another one has taken the lease from it. */
  delete(id: string, flight: Flight): void {
    if (this.#flights.get(id) === flight) this.#flights.delete(id)
  }
}
