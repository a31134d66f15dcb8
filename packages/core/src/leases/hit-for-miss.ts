import { RecentMap } from '../eviction/recent-map.ts'

const maxKeys = 20_000

/**
 * The keys whose values could not be kept lately. They are loaded without a lease for a while: waiting for the load of
 * another process would not help.
 */
export class HitForMiss {
  /** Until when, by key. */
  readonly #until = new RecentMap<number>(maxKeys)

  /** @param now the time of a monotonic clock, the same one for all calls with this key */
  has(key: string, now: number = performance.now()): boolean {
    return now < (this.#until.get(key) ?? -Infinity)
  }

  delete(key: string): void {
    this.#until.delete(key)
  }

  add(key: string, ms: number, now: number = performance.now()): void {
    this.#until.set(key, now + ms)
  }
}
