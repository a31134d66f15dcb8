import { Deferred } from '../time/deferred.ts'

/**
 * A call of `remember`, from the read to the end of the load, which concurrent calls for its key join. Its result is the
 * item, so that each call decodes a value of its own.
 */
export class Flight {
  readonly key: string
  /** Whether the load has begun. If not, the item was read from the store. */
  isLoading = false
  /** Whether the loaded value may be stored: the key has not been written since the flight began. */
  isCurrent = true
  #result: Deferred<unknown> | undefined
  /** The flights that the loader of this one waits for. Most loaders wait for none. */
  #waitsFor: Set<Flight> | undefined

  constructor(key: string) {
    this.key = key
  }

  /** Resolves to the item, or to `undefined` if the loader returned `undefined`. */
  join(): Promise<unknown> {
    this.#result ??= new Deferred()
    return this.#result.promise
  }

  resolve(item: unknown): void {
    this.#result?.resolve(item)
  }

  reject(error: unknown): void {
    this.#result?.reject(error)
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
