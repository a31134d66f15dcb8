import type { Flight } from '../loading/single-flight.ts'
import type { AnyStore } from '../values/entry-codec.ts'
import { type Mark, toMarkItem } from '../values/mark.ts'

/** What entitles a load to store its value. */
export interface Claim {
  /** Whether another process can end the claim. */
  readonly canBeLost: boolean
  /** Whether the key contains a stale value, which `replace(undefined)` deletes. */
  readonly replacesStale: boolean
  /** Keeps the claim until the returned function is called. Calls `onLost` if it is found to be lost. */
  keepAlive(onLost: () => void): () => void
  /** Stores the value. Returns false if the claim has been lost: nothing is stored then. */
  replace(item: unknown, ttl: number | undefined): Promise<boolean>
  /**
   * Ends the claim without a value. The mark tells other processes why, and is stored for its time. Returns false if the
   * claim may have been lost.
   */
  end(mark?: Mark): Promise<boolean>
}

/**
 * The claim of a load without a lease. The value is stored unless the key has been written in this process since the
 * flight began. On a store that other processes do not reach, this is as safe as a lease.
 */
export class LocalClaim implements Claim {
  readonly canBeLost = false
  readonly replacesStale: boolean
  readonly #store: AnyStore
  readonly #flight: Flight
  readonly #seen: unknown

  /**
   * @param seen the item that the key contained before the load
   * @param replacesStale whether that is a stale value, which remains if the load fails
   */
  constructor(store: AnyStore, flight: Flight, seen: unknown, replacesStale: boolean) {
    this.#store = store
    this.#flight = flight
    this.#seen = seen
    this.replacesStale = replacesStale
  }

  keepAlive(): () => void {
    return () => {}
  }

  async replace(item: unknown, ttl: number | undefined): Promise<boolean> {
    return this.#flight.isCurrent && this.#write(item, ttl)
  }

  /** Stores only a failure: waiting loads of other processes, which a hit-for-miss would end, do not exist. */
  async end(mark?: Mark): Promise<boolean> {
    if (mark?.kind !== 'failure' || this.replacesStale || !this.#flight.isCurrent) return true
    return this.#write(toMarkItem(this.#store, mark), mark.ms)
  }

  /** Stores the item unless another process has stored one meanwhile. */
  async #write(item: unknown, ttl: number | undefined): Promise<boolean> {
    const { key } = this.#flight
    if (this.#seen === undefined) return this.#store.add(key, item, ttl)
    return this.#store.compareAndSet(key, this.#seen, item, ttl)
  }
}

/**
 * A claim that stores no value, and only ends another one: a lease that may have been stored later than the load began, so
 * that a delete between the two would not have been noticed.
 */
export function withoutValue(claim: Claim): Claim {
  return {
    canBeLost: true,
    replacesStale: false,
    keepAlive: () => () => {},
    replace: async () => {
      await claim.end()
      return false
    },
    end: (mark) => claim.end(mark),
  }
}

/**
 * The claim of a load whose value is not stored, because the store failed, another process loads the key, or the value
 * cannot be kept.
 */
export const noClaim: Claim = {
  canBeLost: false,
  replacesStale: false,
  keepAlive: () => () => {},
  replace: async () => false,
  end: async () => false,
}
