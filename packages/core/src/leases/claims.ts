import type { Flight } from '../loading/single-flight.ts'
import type { AnyStore } from '../store.ts'
import { Mark, type MarkKind, toMarkItem } from '../values/mark.ts'
import { randomId } from '../values/random-id.ts'

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

/** A stale item that may be replaced. Its bytes guard it, so that the lease lies in a key of its own. */
export interface StaleItem {
  readonly store: AnyStore
  readonly key: string
  readonly item: unknown
}

/**
 * The right to load a value, which one process at a time has. The lease is an item in the key itself: a process that
 * deletes or overwrites the key ends the lease, and the loaded value is not stored.
 */
export class Lease implements Claim {
  /** Identifies the lease within a scope. */
  readonly id: string
  readonly canBeLost = true
  readonly replacesStale: boolean
  readonly #store: AnyStore
  readonly #key: string
  readonly #stale: StaleItem | undefined
  readonly #ms: number
  readonly #token = randomId(12)
  #count = 0
  /** The items that may be stored: more than one, if the outcomes of renewals are not known. */
  #items: unknown[] = []
  #renewal: Promise<unknown> | undefined

  /** @param stale a stale item under another key, which the loaded value replaces */
  constructor(store: AnyStore, key: string, ms: number, stale?: StaleItem) {
    this.#store = store
    this.#key = key
    this.#ms = ms
    this.#stale = stale
    this.replacesStale = stale !== undefined
    this.id = this.replacesStale ? `refresh ${key}` : key
  }

  /** Takes the lease. Returns false if the key does not contain the item `seen` any more. */
  async acquire(seen: unknown): Promise<boolean> {
    const item = this.#nextItem()
    return seen === undefined
      ? this.#store.add(this.#key, item, this.#ms)
      : this.#store.compareAndSet(this.#key, seen, item, this.#ms)
  }

  /** Takes the lease whatever the key contains: a load of another process is not stored any more. */
  async seize(): Promise<void> {
    await this.#store.set(this.#key, this.#nextItem(), this.#ms)
  }

  /** Renews the lease until the returned function is called. Calls `onLost` if it is found to be lost. */
  keepAlive(onLost: () => void): () => void {
    let isEnded = false
    const timer = setInterval(() => {
      // A slow renewal is not followed by another before its outcome is known.
      this.#renewal ??= this.#renew().then((isHeld) => {
        this.#renewal = undefined
        if (isHeld || isEnded) return
        clearInterval(timer)
        onLost()
      })
    }, this.#ms / 3)
    timer.unref()
    return () => {
      isEnded = true
      clearInterval(timer)
    }
  }

  async replace(item: unknown, ttl: number | undefined): Promise<boolean> {
    if (this.#stale === undefined) return this.#swap(item, ttl)
    const { store, key, item: seen } = this.#stale
    const isReplaced = await store.compareAndSet(key, seen, item, ttl)
    await this.end()
    return isReplaced
  }

  async end(mark?: Mark): Promise<boolean> {
    const item = mark === undefined ? undefined : toMarkItem(this.#store, mark)
    const isHeld = await this.#swap(item, mark?.ms)
    // A lease beside a stale item does not tell whether the item has been replaced or deleted.
    return isHeld && !this.replacesStale
  }

  /** Replaces the lease, or deletes it. Returns false if it is lost. */
  async #swap(next: unknown, ttl: number | undefined): Promise<boolean> {
    // A renewal in flight could take effect between the attempts.
    await this.#renewal
    for (const item of this.#items) {
      if (await this.#store.compareAndSet(this.#key, item, next, ttl)) return true
    }
    return false
  }

  /** Returns whether the lease was renewed or the outcome is not known: the next renewal then expects either item. */
  async #renew(): Promise<boolean> {
    const candidates = [...this.#items]
    const next = this.#nextItem()
    try {
      for (const item of candidates) {
        if (!(await this.#store.compareAndSet(this.#key, item, next, this.#ms))) continue
        this.#items = [next]
        return true
      }
      return false
    } catch {
      return true
    }
  }

  #nextItem(): unknown {
    const item = toMarkItem(this.#store, new Mark('lease', this.#token, this.#count++, this.#ms))
    this.#items.unshift(item)
    return item
  }
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

  /** Stores only a failure: waiting loads of other processes, which a hit-for-miss would end, do not exist. */
  async end(mark?: Mark): Promise<boolean> {
    if (mark?.kind !== 'failure' || this.replacesStale || !this.#flight.isCurrent) return true
    return this.replace(toMarkItem(this.#store, mark), mark.ms)
  }

  /** Stores the item unless another process has stored one meanwhile. */
  async replace(item: unknown, ttl: number | undefined): Promise<boolean> {
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

/** The flights of this process that hold a lease or are about to take it, by the id of the lease. */
export class LeaseHolders {
  readonly #flights = new Map<string, Flight>()

  get(id: string): Flight | undefined {
    return this.#flights.get(id)
  }

  has(id: string): boolean {
    return this.#flights.has(id)
  }

  /** Makes the flight the holder until the returned function is called, or until another flight takes the lease from it. */
  hold(id: string, flight: Flight): () => void {
    this.#flights.set(id, flight)
    return () => {
      if (this.#flights.get(id) === flight) this.#flights.delete(id)
    }
  }
}

/** How a load ends without a value: what other processes do for a while. */
export interface LoadEnd {
  readonly kind: Exclude<MarkKind, 'lease' | 'change'>
  readonly ms: number
}

/** Returns the mark of a load that ends without a value. @param now epoch milliseconds, by the clock of the backend */
export function endMark({ kind, ms }: LoadEnd, now: number): Mark {
  const validMs = Math.max(1, ms)
  return new Mark(kind, randomId(12), 0, validMs, now + validMs)
}
