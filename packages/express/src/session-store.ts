import type { Cache, Consistency, ReadOptions } from '@stowage/core'
import { type SessionData, Store } from 'express-session'

export interface SessionStoreOptions {
  /**
   * Where sessions are kept. Its prefix keeps them apart from other entries, and its ttl is the lifetime of a
   * session whose cookie has none (one that ends with the browser).
   */
  readonly cache: Cache
  /**
   * How recent a session must be when it is read. The next request may reach another process, and a replica that lags
   * behind would not know of the login yet, or still of what was logged out.
   * @default 'strong'
   */
  readonly consistency?: Consistency | undefined
}

type Callback<T> = (error?: unknown, result?: T) => void

/** A session as `all` lists it. */
export interface StoredSession extends SessionData {
  readonly id: string
}

const pageSize = 500

/**
 * The sessions of express-session, in any cache. A session lives as long as its cookie says, to the millisecond.
 * Every method answers through the callback exactly once, after the current call stack, with a `CacheError`
 * where the store failed: let an error handler turn it into a 503.
 */
export class SessionStore extends Store {
  readonly #cache: Cache
  readonly #reading: ReadOptions

  constructor({ cache, consistency = 'strong' }: SessionStoreOptions) {
    super()
    this.#cache = cache
    this.#reading = { consistency }
  }

  override get(id: string, callback: Callback<SessionData | null>): void {
    settle(this.#read(id), callback)
  }

  override set(id: string, session: SessionData, callback?: Callback<void>): void {
    settle(this.#write(id, session), callback)
  }

  /** Moves the expiry only: the data another request may have written stays, and a session that is gone stays gone. */
  override touch(id: string, session: SessionData, callback?: Callback<void>): void {
    settle(
      this.#cache.touch(id, { ttl: lifetime(session) }).then(() => {}),
      callback,
    )
  }

  override destroy(id: string, callback?: Callback<void>): void {
    settle(
      this.#cache.delete(id).then(() => {}),
      callback,
    )
  }

  /** Every living session with its id. Needs a driver that can list its keys. */
  override all(callback: Callback<StoredSession[]>): void {
    settle(this.#all(), callback)
  }

  /** How many sessions live. Needs a driver that can list its keys. */
  override length(callback: Callback<number>): void {
    settle(
      this.#ids().then((ids) => ids.length),
      callback,
    )
  }

  /** Ends every session, and touches nothing else. */
  override clear(callback?: Callback<void>): void {
    settle(this.#cache.clear(), callback)
  }

  async #read(id: string): Promise<SessionData | null> {
    return this.#inflate(await this.#cache.get(id, this.#reading)) ?? null
  }

  async #write(id: string, session: SessionData): Promise<void> {
    const value = this.#cache.storesByReference ? isolated(session) : session
    await this.#cache.set(id, value, { ttl: lifetime(session) })
  }

  async #all(): Promise<StoredSession[]> {
    const ids = await this.#ids()
    const sessions: StoredSession[] = []
    for (let start = 0; start < ids.length; start += pageSize) {
      const page = ids.slice(start, start + pageSize)
      const found = await this.#cache.getMany(page)
      for (const [index, id] of page.entries()) {
        const session = this.#inflate(found[index])
        if (session !== undefined) sessions.push({ ...session, id })
      }
    }
    return sessions
  }

  /** A session of ours, or nothing: without a cookie it would make express-session fail on every request. */
  #inflate(stored: unknown): SessionData | undefined {
    if (!isSession(stored)) return undefined
    return this.#cache.storesByReference ? isolated(stored) : stored
  }

  async #ids(): Promise<string[]> {
    // A scan may list a key twice.
    const ids = new Set<string>()
    for await (const id of this.#cache.keys()) ids.add(id)
    return [...ids]
  }
}

/**
 * How long the session shall live from now on: as long as at first. `cookie.expires` does not tell, because a session
 * that was only touched carries the expiry of its last write. It does where there was no time at first, or where the
 * application has ended the session. No expiry at all: the cache's ttl.
 */
function lifetime({ cookie }: Partial<SessionData>): number | undefined {
  const original = cookie?.originalMaxAge ?? 0
  if (original > 0) return original
  const expires = cookie?.expires
  // After a round trip through JSON it is a string; express-session also allows null, false and an invalid Date.
  const left = expires ? new Date(expires).getTime() - Date.now() : Number.NaN
  return Number.isNaN(left) ? undefined : left
}

function isSession(stored: unknown): stored is SessionData {
  return typeof stored === 'object' && stored !== null && 'cookie' in stored
}

/** A copy, as a byte store would make: what is kept by reference changes with the request that goes on using it. */
function isolated(session: SessionData): SessionData {
  return JSON.parse(JSON.stringify(session))
}

function settle<T>(work: Promise<T>, callback: Callback<T> | undefined): void {
  // Out of the promise chain: what the callback throws is the application's own error, and calling it twice would be ours.
  const answer = (error: unknown, result?: T) => process.nextTick(() => callback?.(error, result))
  work.then(
    (result) => answer(null, result),
    (error) => answer(error),
  )
}
