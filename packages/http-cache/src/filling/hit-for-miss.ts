import type { Clock } from '@stowage/core'
import { ShortKeyMap } from '../storage/hints.ts'

const maxKeys = 10_000

/**
 * Why a key is marked. `'private'`: its response could not be stored, so that requests do not wait for each other
 * (hit-for-miss). `'unlikely'`: that was because of its request, and those of others may be stored: one at a time tries that,
 * and no other waits for it. `'failed'`: the handler has failed, and is not called again at once if there is a stale response.
 */
type Reason = 'private' | 'unlikely' | 'failed'

/** What this process knows of keys whose responses could not be stored. */
export class HitForMiss {
  readonly #clock: Clock
  readonly #until: Readonly<Record<Reason, ShortKeyMap<number>>> = {
    private: new ShortKeyMap(maxKeys),
    unlikely: new ShortKeyMap(maxKeys),
    failed: new ShortKeyMap(maxKeys),
  }

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(key: string, ms: number, reason: Reason = 'private'): void {
    this.#until[reason].set(key, this.#clock.now() + ms)
  }

  has(key: string, reason: Reason = 'private'): boolean {
    const until = this.#until[reason].get(key)
    return until !== undefined && this.#clock.now() < until
  }

  remove(key: string): void {
    for (const marks of Object.values(this.#until)) marks.delete(key)
  }
}
