import { type Cache, CacheError, type ReadOptions, type Snapshot } from '@stowage/core'
import { longestRequestMs } from '../data/session-item.ts'
import { isPlainKey, sessionKey } from '../data/session-key.ts'
import type { SessionContext } from '../session-context.ts'

/**
 * For how long sessions still end here when they are not moved any more, in milliseconds: a slow request may have read one before,
 * and a process with a slower clock still reads them.
 */
const endMarginMs = longestRequestMs

/** Where sessions are moved from, until the end of the move. The keys may be ids: errors of the cache have no key. */
export class OldSessionCache {
  readonly #context: SessionContext

  constructor(context: SessionContext) {
    this.#context = context
  }

  /** Until when sessions may be stored here, in epoch milliseconds; `undefined` if there are none. */
  get until(): number | undefined {
    return this.#context.migrateFrom?.until.getTime()
  }

  /** Whether a session that ends may be stored here. */
  has(id: string): boolean {
    return this.#keyOf(id, endMarginMs) !== undefined
  }

  /** Resolves to `undefined` if the session cannot be stored here, also for its key: that opens no session, but ends one. */
  async read(id: string, options: ReadOptions): Promise<Snapshot<unknown> | undefined> {
    const key = isPlainKey(id) ? this.#keyOf(id) : undefined
    if (key === undefined) return undefined
    const snapshot = await withoutKey(this.#cache.snapshot(key, options))
    const { value, jsonText, replace, swap } = snapshot
    return { value, jsonText, replace, swap, delete: () => withoutKey(snapshot.delete()) }
  }

  async delete(id: string): Promise<void> {
    const key = this.#keyOf(id, endMarginMs)
    if (key !== undefined) await withoutKey(this.#cache.delete(key))
  }

  /** Deletes all sessions, unless they are in the cache that they are moved to. */
  async clear(): Promise<void> {
    if (this.#isOpen(endMarginMs) && this.#cache !== this.#context.cache) await this.#cache.clear()
  }

  #isOpen(marginMs = 0): boolean {
    const { migrateFrom, clock } = this.#context
    return migrateFrom !== undefined && clock.now() < migrateFrom.until.getTime() + marginMs
  }

  get #cache(): Cache {
    return this.#context.migrateFrom?.cache ?? this.#context.cache
  }

  #keyOf(id: string, marginMs?: number): string | undefined {
    if (!this.#isOpen(marginMs)) return undefined
    if (this.#context.migrateFrom?.keys === 'digests') return sessionKey(id)
    return isPlainKey(id) ? id : undefined
  }
}

/** The cause is left out as well: the error of a client may contain its command. */
async function withoutKey<T>(call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (error) {
    throw CacheError.is(error)
      ? CacheError.forCall(error, { key: undefined, cause: undefined })
      : error
  }
}
