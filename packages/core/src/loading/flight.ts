import { Deferred } from '../time/deferred.ts'

/** The result of a flight. It contains the item, so that each caller decodes a value of its own. */
export interface FlightResult {
  /** `undefined` if the loader returned `undefined`. */
  readonly item: unknown
  /** `loaded`: by the loader. `read`: from the store, also a stale one. `awaited`: loaded by another process meanwhile. */
  readonly source: 'loaded' | 'read' | 'awaited'
  /**
   * Which callers receive the result. `all`: the value was current when it was stored. `early`: only callers that joined
   * before the load began, because the key may have been invalidated since. `leader`: the loader declared it private.
   * `nobody`: the key was written during the load, so that every caller asks again.
   */
  readonly audience: 'all' | 'early' | 'leader' | 'nobody'
}

/** The result of a flight without one: every caller asks again. */
export const noResult: FlightResult = { item: undefined, source: 'read', audience: 'nobody' }

/** A call of `remember`, from the read to the end of the load, which concurrent calls for its key join. */
export class Flight {
  readonly key: string
  /** Whether the load has begun. If not, the item was read from the store. */
  isLoading = false
  /** Whether the loaded value may be stored: the key has not been written in this process since the flight began. */
  isCurrent = true
  /** Whether the load was aborted because no caller waited any more. Later callers do not join it. */
  isAbandoned = false
  /** Aborts the load. Set while a loader runs. */
  abort: ((reason: unknown) => void) | undefined
  /** Decodes the stale value, for callers whose timeout passes. Set if there is one. */
  decodeStale: (() => unknown) | undefined
  #result: Deferred<FlightResult> | undefined
  #callers = 0
  /** The flights that the loader of this one waits for. Most loaders wait for none. */
  #waitsFor: Set<Flight> | undefined

  constructor(key: string) {
    this.key = key
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
  }

  /** Removes a caller that has given up. Without callers, the load is aborted. */
  leave(reason: unknown): void {
    this.#callers--
    if (this.#callers > 0 || this.abort === undefined) return
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
