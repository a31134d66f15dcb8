import { type AnyStore, strongRead } from '../store.ts'
import { textOf, toTextItem } from '../values/plain-items.ts'
import { randomId } from '../values/random-id.ts'

/** The share of its ttl for which a lock is certainly held. The rest is for the work to end, and for different clocks. */
const safeShare = 0.9

/**
 * The time for which one owner holds a lock, from `begin` to `end`: an item in the backend, which every change compares.
 */
export class Tenure {
  readonly facts: LockFacts
  readonly #store: AnyStore
  readonly #key: string
  readonly #item: unknown
  /** Called when a renewal has succeeded, or has found the lock lost. */
  onRenewal: (isHeld: boolean) => void = () => {}
  /** Until when no other owner can hold the lock, in the time of `performance.now()`. */
  #safeUntil = 0

  private constructor(store: AnyStore, key: string, item: unknown, facts: LockFacts) {
    this.#store = store
    this.#key = key
    this.#item = item
    this.facts = facts
  }

  /** Acquires the lock. Returns `undefined` if it is held. */
  static async begin(store: AnyStore, key: string, facts: LockFacts): Promise<Tenure | undefined> {
    const tenure = new Tenure(store, key, createLockItem(store, facts), facts)
    return (await tenure.#begin()) ? tenure : undefined
  }

  /** Finds the tenure of an owner that began elsewhere. Returns `undefined` if the owner does not hold the lock. */
  static async find(store: AnyStore, key: string, owner: string): Promise<Tenure | undefined> {
    const item = await store.get(key, strongRead)
    const facts = parseLockItem(store, item)
    return facts?.owner === owner ? new Tenure(store, key, item, facts) : undefined
  }

  /** For how long the lock is certainly held without a renewal, in milliseconds. */
  get safeMs(): number {
    return this.#safeUntil - performance.now()
  }

  /**
   * Extends the lock to `ttl` milliseconds from now. Returns false if it is lost. A swap of the item for itself, because
   * `touch` would also extend a lock that has replaced this one, and a repeated swap has the same outcome.
   */
  async renew(ttl: number = this.facts.ttl): Promise<boolean> {
    // The backend counts from when it receives the request, which is later.
    const sentAt = performance.now()
    const isHeld = await this.#store.compareAndSet(this.#key, this.#item, this.#item, ttl)
    if (isHeld) this.#safeUntil = sentAt + ttl * safeShare
    this.onRenewal(isHeld)
    return isHeld
  }

  /** Releases the lock. Returns false if it is lost. */
  async end(): Promise<boolean> {
    return this.#store.compareAndSet(this.#key, this.#item, undefined)
  }

  async #begin(): Promise<boolean> {
    const sentAt = performance.now()
    try {
      if (!(await this.#store.add(this.#key, this.#item, this.facts.ttl))) return false
    } catch (error) {
      // The item may have been stored, and would block the lock for its ttl.
      void this.end().catch(() => {})
      throw error
    }
    this.#safeUntil = sentAt + this.facts.ttl * safeShare
    // A process that was suspended meanwhile may have lost the lock already.
    while (this.safeMs <= 0) if (!(await this.renew())) return false
    return true
  }
}

const pattern = /^[\w-]{12}\.(\d+)\.(.*)$/s

/** The contents of a lock's item. */
export interface LockFacts {
  readonly ttl: number
  readonly owner: string
}

/**
 * Creates the item of a lock: `<random>.<ttl>.<owner>`. It differs each time, so that a call that the network has delayed
 * does not affect the lock when the same owner acquires it again.
 */
function createLockItem(store: AnyStore, { ttl, owner }: LockFacts): unknown {
  return toTextItem(store, `${randomId(12)}.${ttl}.${owner}`)
}

/** Returns the contents of a lock's item; `undefined` for no item, and for a foreign value. */
export function parseLockItem(store: AnyStore, item: unknown): LockFacts | undefined {
  const match = pattern.exec(textOf(store, item) ?? '')
  if (match === null) return undefined
  const [, ttl, owner] = match
  return { ttl: Number(ttl), owner: owner as string }
}
