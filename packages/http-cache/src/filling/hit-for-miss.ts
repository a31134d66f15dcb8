import type { Clock } from '@stowage/core'
import { ShortKeyMap } from '../storage/hints.ts'

const maxKeys = 10_000

/**
 * What this process knows of keys whose responses could not be stored: requests for them do not wait for each other
 * (hit-for-miss), and a handler that has failed is not called again at once if there is a stale response.
 */
export class HitForMiss {
  readonly #clock: Clock
  readonly #until = new ShortKeyMap<number>(maxKeys)
  readonly #unlikelyUntil = new ShortKeyMap<number>(maxKeys)
  readonly #failedUntil = new ShortKeyMap<number>(maxKeys)

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(key: string, ms: number): void {
    this.#until.set(key, this.#clock.now() + ms)
  }

  has(key: string): boolean {
    return this.#isBefore(this.#until.get(key))
  }

  /**
   * A response could not be stored because of its request, so that those of others may be: one at a time tries that, and no
   * other waits for it.
   */
  addUnlikely(key: string, ms: number): void {
    this.#unlikelyUntil.set(key, this.#clock.now() + ms)
  }

  isUnlikely(key: string): boolean {
    return this.#isBefore(this.#unlikelyUntil.get(key))
  }

  remove(key: string): void {
    this.#until.delete(key)
    this.#unlikelyUntil.delete(key)
    this.#failedUntil.delete(key)
  }

  addFailed(key: string, ms: number): void {
    this.#failedUntil.set(key, this.#clock.now() + ms)
  }

  hasFailed(key: string): boolean {
    return this.#isBefore(this.#failedUntil.get(key))
  }

  #isBefore(until: number | undefined): boolean {
    return until !== undefined && this.#clock.now() < until
  }
}
