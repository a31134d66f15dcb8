import { Deferred } from '../calls/deferred.ts'

/** How many groups are listed before idle ones are removed. */
const minLimit = 8

/** The result of a flight. It contains the item, so that each caller decodes a value of its own. */
export interface FlightResult {
  /** `undefined` if the loader returned `undefined`. */
  readonly item: unknown
  /** `loaded`: by the loader. `read`: from the store, also a stale one. `awaited`: loaded by another process meanwhile. */
  readonly source: 'loaded' | 'read' | 'awaited'
  /** Whether the entry is stale. */
  readonly isStale?: boolean
  /**
   * Which callers receive the result. The others ask again, because the key may have been invalidated before they called.
   * `all`: the value was still valid when it was stored. `beforeLoad`: those that joined before the load began.
   * `beforeRead`: those that joined before the read was sent that found the value. `leader`: the loader declared the value
   * private, so that the others load it themselves. `nobody`: the key was written during the load.
   */
  readonly audience: 'all' | 'beforeLoad' | 'beforeRead' | 'leader' | 'nobody'
}

/** The result of a flight without one: every caller asks again. */
export const noResult: FlightResult = { item: undefined, source: 'read', audience: 'nobody' }

/** The step of a flight in which it sends its first read. */
export const firstStep = 1

/** A stale value that a flight has read. */
export interface StaleValue {
  decode(): unknown
  /** Reads it again, for callers that join the flight later: it may have been invalidated meanwhile. */
  readAgain(): Promise<StaleValue | undefined>
}

/** A call of `remember`, from the read to the end of the load, which concurrent calls for its key join. */
export class Flight {
  readonly key: string
  /** Counts the reads and loads of this flight. */
  #step = firstStep
  #readStep = firstStep
  #loadStep = Infinity
  /** Whether the loaded value may be stored: the key has not been written in this process since the flight began. */
  isCurrent = true
  /** Whether all callers have given up. Then no other caller joins. */
  isAbandoned = false
  /** Aborts the load. Set while a loader runs. */
  abort: ((reason: unknown) => void) | undefined
  /** Lets other flights of this process take the lease that this one has. Set if it has one. */
  stopHolding: (() => void) | undefined
  /** The stale value, for callers whose timeout passes. Set if there is one. */
  stale: StaleValue | undefined
  /** Why the last caller has given up, until another one joins. */
  givenUp: { readonly reason: unknown } | undefined
  #result: Deferred<FlightResult> | undefined
  #callers = 0
  /** The flights that the loader of this one waits for. Most loaders wait for none. */
  #waitsFor: Set<Flight> | undefined

  constructor(key: string) {
    this.key = key
  }

  /** Whether nothing but the first read has been sent. Its result is not shared: a later caller reads for itself. */
  get isReading(): boolean {
    return this.#step === firstStep
  }

  /** To be called before another read is sent. */
  beginRead(): void {
    this.#step++
  }

  /** To be called if the flight continues with what the last read has found. A read that failed does not count. */
  endRead(): void {
    this.#readStep = this.#step
  }

  /** To be called before the loader is called. */
  beginLoad(): void {
    this.#loadStep = ++this.#step
  }

  /** The read or load that was begun last. */
  get step(): number {
    return this.#step
  }

  /** Whether a caller that joined in the step `joined`, 0 if before the flight began, receives the result. */
  isReceivedBy(joined: number, { audience }: FlightResult): boolean {
    return (
      audience === 'all' ||
      (audience === 'beforeLoad' && joined < this.#loadStep) ||
      (audience === 'beforeRead' && joined < this.#readStep)
    )
  }

  /** Resolves to the result of the flight. */
  result(): Promise<FlightResult> {
    this.#result ??= new Deferred()
    return this.#result.promise
  }

  resolve(result: FlightResult): void {
    this.#result?.resolve(result)
  }

  reject(error: unknown): void {
    this.#result?.reject(error)
  }

  /** Adds a caller that waits for this flight. */
  enter(): void {
    this.#callers++
    this.givenUp = undefined
  }

  /** Removes a caller that has given up. Without callers, the load is aborted, or not begun. */
  leave(reason: unknown): void {
    this.#callers--
    if (this.#callers > 0) return
    this.givenUp = { reason }
    if (this.abort === undefined) return
    this.isAbandoned = true
    this.abort(reason)
  }

  /** Records that the loader of this flight waits for `other`. */
  startWaitingFor(other: Flight): void {
    this.#waitsFor ??= new Set()
    this.#waitsFor.add(other)
  }

  stopWaitingFor(other: Flight): void {
    this.#waitsFor?.delete(other)
  }

  /** Whether this flight is `other`, or waits for it directly or through others. */
  reaches(other: Flight): boolean {
    const reached = new Set<Flight>([this])
    // A set also iterates the flights that are added meanwhile. Each is visited once, however many paths lead to it.
    for (const flight of reached) {
      if (flight === other) return true
      for (const next of flight.#waitsFor ?? []) reached.add(next)
    }
    return false
  }
}

/** The flights that can be joined: per key, at most one that callers wait for, and one that refreshes a stale value. */
export class FlightGroup {
  readonly #flights = new Map<string, Flight>()
  readonly #refreshes = new Map<string, Flight>()
  /** Flights that are not joined any more because a forced refresh has begun another one for their key. */
  readonly #replaced = new Set<Flight>()
  /** Writes of loaded values in flight, with their keys. They may outlast their flights. */
  readonly #writeBacks = new Map<Promise<unknown>, string>()
  readonly #active: FlightGroups
  #isListed = false

  constructor(active: FlightGroups) {
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

/**
 * The groups of flights of a scope that a write has to look through: those with flights or write-backs, and some others.
 * An application may create one for every request, with a codec of its own.
 */
export class FlightGroups {
  #listed: FlightGroup[] = []
  /** At how many the idle ones are removed. */
  #limit = minLimit

  get all(): readonly FlightGroup[] {
    return this.#listed
  }

  /** To be called by one that is not listed, before it is used. */
  add(flights: FlightGroup): void {
    if (this.#listed.length >= this.#limit) this.#removeIdle()
    this.#listed.push(flights)
  }

  #removeIdle(): void {
    this.#listed = this.#listed.filter((flights) => !flights.unlistIfIdle())
    this.#limit = Math.max(minLimit, 2 * this.#listed.length)
  }
}
