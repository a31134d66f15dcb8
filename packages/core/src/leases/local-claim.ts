import type { Flight } from '../loading/flight.ts'
import type { AnyStore } from '../values/entry-codec.ts'
import type { Mark } from '../values/mark.ts'
import type { Claim } from './claim.ts'
import { toMarkItem } from './lease.ts'

/**
 * The claim of a load without a lease. The value is stored unless the key has been written in this process since the
 * flight began. On a store that other processes do not reach, this is as safe as a lease.
 */
export class LocalClaim implements Claim {
  readonly canBeLost = false
  readonly #store: AnyStore
  readonly #flight: Flight
  readonly #seen: unknown

  /** @param seen the item that the key contained before the load */
  constructor(store: AnyStore, flight: Flight, seen: unknown) {
    this.#store = store
    this.#flight = flight
    this.#seen = seen
  }

  keepAlive(): () => void {
    return () => {}
  }

  async replace(item: unknown, ttl: number | undefined): Promise<boolean> {
    if (!this.#flight.isCurrent) return false
    await this.#store.set(this.#flight.key, item, ttl)
    return true
  }

  /** Stores only a failure: waiting loads of other processes, which a pass would end, do not exist. */
  async end(mark?: Mark): Promise<boolean> {
    if (mark?.kind !== 'F' || !this.#flight.isCurrent) return true
    const { key } = this.#flight
    const item = toMarkItem(this.#store, mark)
    if (this.#seen === undefined) await this.#store.add(key, item, mark.ms)
    else await this.#store.compareAndSet(key, this.#seen, item, mark.ms)
    return true
  }
}

/**
 * A claim that stores no value, and only ends another one: a lease that may have been stored later than the load began, so
 * that a delete between the two would not have been noticed.
 */
export function withoutValue(claim: Claim): Claim {
  return {
    canBeLost: true,
    keepAlive: () => () => {},
    replace: async () => {
      await claim.end()
      return false
    },
    end: (mark) => claim.end(mark),
  }
}

/** The claim of a load whose value is not stored. */
export const noClaim: Claim = {
  canBeLost: false,
  keepAlive: () => () => {},
  replace: async () => true,
  end: async () => true,
}
