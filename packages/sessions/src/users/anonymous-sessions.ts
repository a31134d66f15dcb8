import type { Cache } from '@stowage/core'
import { parseItem } from '../data/session-item.ts'

/**
 * Bounds the sessions without a user that this process has created. A visitor without cookies gets one with each request:
 * in a store of limited size, such sessions would evict those of users.
 */
export class AnonymousSessions {
  readonly #cache: Cache
  readonly #max: number
  /** Their keys, the oldest first. */
  readonly #keys = new Set<string>()

  constructor(cache: Cache, max: number) {
    this.#cache = cache
    this.#max = max
  }

  /** To be called when a session without a user was stored for the first time. Ends the oldest ones beyond the bound. */
  async add(key: string): Promise<void> {
    this.#keys.add(key)
    while (this.#keys.size > this.#max) {
      const [oldest] = this.#keys
      this.#keys.delete(oldest as string)
      await this.#end(oldest as string)
    }
  }

  /** To be called when a session has ended, or has got a user. */
  remove(key: string): void {
    this.#keys.delete(key)
  }

  /** Another process may have given it a user. */
  async #end(key: string): Promise<void> {
    const snapshot = await this.#cache.snapshot(key)
    const session = parseItem(snapshot.value, snapshot.jsonText)?.session
    if (session !== undefined && !session.isListed) await snapshot.delete()
  }
}
