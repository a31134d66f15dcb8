import type { Flight } from '../loading/single-flight.ts'
import type { AnyStore } from '../values/entry-codec.ts'
import { Mark, type MarkKind, toMarkItem } from '../values/mark.ts'
import { randomId } from '../values/random-id.ts'
import type { Claim } from './claim.ts'

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
  /** The items that may be stored: two, if the outcome of the last renewal is not known. */
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
