import { RecentMap } from '../eviction/recent-map.ts'
import { type Clock, monotonicOf } from '../time/clock.ts'

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

  clear(): void {
    this.#until.clear()
  }

  add(key: string, ms: number, now: number = performance.now()): void {
    this.#until.set(key, now + ms)
  }
}

interface BackoffScope {
  readonly hitForMiss: HitForMiss
  readonly clock: Clock
}

/**
 * The pause after a failed refresh without a lease. Only this process observes it: a mark beside the stale value would be
 * shared by all.
 */
export function beginLocalBackoff(scope: BackoffScope, key: string, ms: number): void {
  scope.hitForMiss.add(nameOf(key), ms, monotonicOf(scope.clock))
}

/** Whether this process must not refresh the stale value of the key yet. */
export function isInLocalBackoff(scope: BackoffScope, key: string): boolean {
  return scope.hitForMiss.has(nameOf(key), monotonicOf(scope.clock))
}

function nameOf(key: string): string {
  // No storage key of the application begins with "~".
  return `~failed ${key}`
}
