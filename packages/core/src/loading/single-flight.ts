import { Flight, type FlightResult } from './flight.ts'

const none: readonly Promise<unknown>[] = []

/** Where a single flight is listed while it is used. */
export interface FlightList {
  add(flights: SingleFlight): void
}

/** The flights that can be joined: per key, at most one that callers wait for, and one that refreshes a stale value. */
export class SingleFlight {
  readonly #flights = new Map<string, Flight>()
  readonly #refreshes = new Map<string, Flight>()
  /** Flights that are not joined any more because a forced refresh has begun another one for their key. */
  readonly #replaced = new Set<Flight>()
  /** Writes of loaded values in flight, with their keys. They may outlast their flights. */
  readonly #writeBacks = new Map<Promise<unknown>, string>()
  readonly #active: FlightList
  #isListed = false

  constructor(active: FlightList) {
    this.#active = active
  }

  find(key: string): Flight | undefined {
    if (this.#flights.size === 0) return undefined
    const flight = this.#flights.get(key)
    return flight?.isAbandoned === true ? undefined : flight
  }

  /** The flight that refreshes the stale value of a key, if one does. */
  findRefresh(key: string): Flight | undefined {
    return this.#refreshes.get(key)
  }

  /** Begins a flight. Later calls join it instead of the earlier flight of the key, if there is one. */
  begin(key: string): Flight {
    this.#list()
    const flight = new Flight(key)
    const earlier = this.find(key)
    if (earlier !== undefined) this.#replaced.add(earlier)
    this.#flights.set(key, flight)
    return flight
  }

  /** Begins a flight that refreshes the stale value of a key. */
  beginRefresh(key: string): Flight {
    this.#list()
    const flight = new Flight(key)
    this.#refreshes.set(key, flight)
    return flight
  }

  /** Stops other callers from joining a flight, before its value is stored: the key may be invalidated right after. */
  close(flight: Flight): void {
    const { key } = flight
    if (this.#flights.get(key) === flight) this.#flights.delete(key)
    else if (this.#refreshes.get(key) === flight) this.#refreshes.delete(key)
    else this.#replaced.delete(flight)
  }

  /** Ends a flight, and resolves it if there is a result. */
  end(flight: Flight, result?: FlightResult): void {
    this.close(flight)
    if (result !== undefined) flight.resolve(result)
  }

  /** To be called when the key is written or deleted: its flights are not joined any more, and their values not stored. */
  invalidate(key: string): void {
    if (this.#flights.size > 0) this.#invalidate(this.#flights.get(key))
    if (this.#refreshes.size > 0) this.#invalidate(this.#refreshes.get(key))
    for (const flight of this.#replaced) if (flight.key === key) this.#invalidate(flight)
  }

  /** The same for every key that begins with `prefix`. */
  invalidateAll(prefix: string): void {
    // A prefix may have thousands of namespaces below it, nearly all of them without flights.
    if (this.#hasNoFlights) return
    const replaced = Array.from(this.#replaced, (flight) => flight.key)
    const keys = new Set([...this.#flights.keys(), ...this.#refreshes.keys(), ...replaced])
    for (const key of keys) if (key.startsWith(prefix)) this.invalidate(key)
  }

  /** Registers the write of a loaded value. Returns `write`. */
  trackWriteBack<T>(key: string, write: Promise<T>): Promise<T> {
    this.#list()
    this.#writeBacks.set(write, key)
    const remove = () => this.#writeBacks.delete(write)
    write.then(remove, remove)
    return write
  }

  /** Returns the writes of loaded values in flight whose keys begin with `prefix`. */
  writeBacks(prefix: string): readonly Promise<unknown>[] {
    if (this.#writeBacks.size === 0) return none
    return [...this.#writeBacks].flatMap(([write, key]) => (key.startsWith(prefix) ? write : []))
  }

  /** Returns whether nothing is in flight. Then lists this object again before the next use. */
  unlistIfIdle(): boolean {
    const isIdle = this.#hasNoFlights && this.#writeBacks.size === 0
    if (isIdle) this.#isListed = false
    return isIdle
  }

  get #hasNoFlights(): boolean {
    return this.#flights.size + this.#refreshes.size + this.#replaced.size === 0
  }

  #list(): void {
    if (this.#isListed) return
    this.#isListed = true
    this.#active.add(this)
  }

  #invalidate(flight: Flight | undefined): void {
    if (flight === undefined) return
    flight.isCurrent = false
    this.close(flight)
  }
}
