import { type AnyStore, strongRead } from '../store.ts'
import type { BackendTime } from '../time/backend-time.ts'
import type { Clock } from '../time/clock.ts'
import { wait } from '../time/wait.ts'
import { conflict, replaceSeen, retryOnConflict } from '../updates/conditional-write.ts'
import { integerOf, toIntegerItem } from '../values/plain-items.ts'

/** How many numbers a lock can use per millisecond before a lost counter could repeat one. */
const numbersPerMs = 1_024
/** Lower than every number of a counter that began at a time after 2005. */
const usualMinimum = 2 ** 50
/** A counter that expires is like one that was evicted. */
const counterTtl = 30 * 86_400_000

/**
 * Fencing numbers: a counter for each lock, which follows the time of the backend, multiplied. No number is used before its
 * time is over, and none that lags behind the time: the backend may have lost the last increments, in a failover to a
 * replica or a restart from a snapshot, and the counter would repeat numbers of earlier holders. A counter that was lost
 * altogether begins again at the time.
 */
export class Fences {
  readonly #store: AnyStore
  readonly #time: BackendTime
  readonly #clock: Clock
  readonly #uncertaintyMs: number

  /** @param uncertaintyMs how much two readings of the time of the backend may differ */
  constructor(store: AnyStore, time: BackendTime, clock: Clock, uncertaintyMs: number) {
    this.#store = store
    this.#time = time
    this.#clock = clock
    this.#uncertaintyMs = uncertaintyMs
  }

  /**
   * Returns a number higher than all before it. Two requests; one if another number was drawn in the same millisecond. No
   * longer lag is accepted: a server has restarted from its snapshot within 40 ms. If the counter was lost, some more
   * requests, and as long as readings of the time may differ.
   */
  async next(key: string): Promise<number> {
    const [first, now] = await Promise.all([
      this.#store.increment(key, 1, counterTtl),
      this.#time.estimateOrThrow(),
    ])
    const number = first > this.#oldest(now) ? first : await this.#raise(key, first, now)
    const waitMs = number / numbersPerMs + this.#uncertaintyMs - now
    if (waitMs > 0) await wait(Math.min(waitMs, 2 * this.#uncertaintyMs))
    return number
  }

  /** The highest number that an earlier holder can have used: it waited until this was over. */
  #oldest(now: number): number {
    return (now - this.#uncertaintyMs) * numbersPerMs
  }

  /** Raises the counter, which has become `first`, to the time. Returns the number. */
  #raise(key: string, first: number, now: number): Promise<number> {
    const at = { operation: 'fence', store: this.#store.name, key }
    let item: unknown = toIntegerItem(this.#store, first)
    return retryOnConflict(at, this.#clock, async () => {
      const current = integerOf(this.#store, item) ?? 0
      const minimum = current < usualMinimum ? await this.#restart() : this.#oldest(now)
      const next = Math.max(current, minimum) + 1
      const nextItem = toIntegerItem(this.#store, next)
      if (await replaceSeen(this.#store, key, item, nextItem, counterTtl)) return next
      item = await this.#store.get(key, strongRead)
      return conflict
    })
  }

  /** The number at which a counter begins. The time is read again: the last number may just have been used. */
  async #restart(): Promise<number> {
    return (await this.#time.read()) * numbersPerMs
  }
}
