import type { FlightList, SingleFlight } from './single-flight.ts'

const minLimit = 8

/**
 * The single flights of a scope that a write has to look through: those with flights or write-backs, and some others.
 * An application may create one for every request, with a codec of its own.
 */
export class ActiveFlights implements FlightList {
  #listed: SingleFlight[] = []
  /** At how many the idle ones are removed. */
  #limit = minLimit

  get all(): readonly SingleFlight[] {
    return this.#listed
  }

  /** To be called by one that is not listed, before it is used. */
  add(flights: SingleFlight): void {
    if (this.#listed.length >= this.#limit) this.#removeIdle()
    this.#listed.push(flights)
  }

  #removeIdle(): void {
    this.#listed = this.#listed.filter((flights) => !flights.unlistIfIdle())
    this.#limit = Math.max(minLimit, 2 * this.#listed.length)
  }
}
