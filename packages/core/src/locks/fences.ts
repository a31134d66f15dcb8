import type { BackendTime } from '../time/backend-time.ts'
import type { Clock } from '../time/clock.ts'
import { wait } from '../time/wait.ts'
import { replaceSeen } from '../updates/replace-seen.ts'
import { conflict, retryOnConflict } from '../updates/retry-on-conflict.ts'
import type { AnyStore } from '../values/entry-codec.ts'
import { integerOf, toIntegerItem } from '../values/items/integer-item.ts'

const strongRead = { consistency: 'strong' } as const
/** How many numbers a lock can use per millisecond without that a lost counter repeats one. */
const numbersPerMs = 1_024
/** Lower than every number of a counter that began at a time after 2005. */
const usualMinimum = 2 ** 50
/** A counter that expires is like one that was evicted. */
const counterTtl = 30 * 86_400_000

/**
 * Fencing numbers: a counter for each lock. A counter that was lost begins again at the time of the backend, multiplied,
 * so that its numbers go on rising. So no number is used before its time is over.
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
   * Returns a number higher than all before it. One request, unless the counter was lost: then it takes some more, and as
   * long as readings of the time may differ.
   */
  async next(key: string): Promise<number> {
    const [first, now] = await Promise.all([
      this.#store.increment(key, 1, counterTtl),
      this.#time.synchronized(),
    ])
    const at = { operation: 'fence', store: this.#store.name, key }
    const number =
      first >= usualMinimum
        ? first
        : await retryOnConflict(at, this.#clock, () => this.#restart(key))
    const waitMs = number / numbersPerMs + this.#uncertaintyMs - now
    if (waitMs > 0) await wait(Math.min(waitMs, 2 * this.#uncertaintyMs))
    return number
  }

  async #restart(key: string): Promise<number | typeof conflict> {
    const item = await this.#store.get(key, strongRead)
    const minimum = (await this.#time.shared()) * numbersPerMs
    const current = integerOf(this.#store, item) ?? 0
    const next = Math.max(current, minimum) + 1
    const nextItem = toIntegerItem(this.#store, next)
    const isStored = await replaceSeen(this.#store, key, item, nextItem, counterTtl)
    return isStored ? next : conflict
  }
}
