import { Deferred } from '../calls/deferred.ts'

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
  releaseLease: (() => void) | undefined
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

  /** Whether a caller receives a result that joined in the step `joined`, 0 if before the flight began. */
  isReceivedBy(joined: number, { audience }: FlightResult): boolean {
    return (
      audience === 'all' ||
      (audience === 'beforeLoad' && joined < this.#loadStep) ||
      (audience === 'beforeRead' && joined < this.#readStep)
    )
  }

  /** Resolves to the result of the flight. */
  join(): Promise<FlightResult> {
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
  leadsTo(other: Flight): boolean {
    const reached = new Set<Flight>([this])
    // A set also iterates the flights that are added meanwhile. Each is visited once, however many paths lead to it.
    for (const flight of reached) {
      if (flight === other) return true
      for (const next of flight.#waitsFor ?? []) reached.add(next)
    }
    return false
  }
}
