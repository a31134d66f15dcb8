import type { Cache, Consistency, ReadOptions } from '@stowage/core'
import { type SessionData, Store } from 'express-session'

export interface SessionStoreOptions {
  /**
   * The cache that sessions are stored in. Its prefix separates them from other entries. Its ttl applies to sessions
   * whose cookie has no expiry (it ends with the browser session).
   */
  readonly cache: Cache
  /**
   * Consistency of `get` and `all`. The next request may reach another process, where a lagging replica would not return
   * a new session yet, and would still return a destroyed one.
   * @default 'strong'
   */
  readonly consistency?: Consistency | undefined
}

type Callback<T> = (error?: unknown, result?: T) => void

/** A session as returned by `all`. */
export interface StoredSession extends SessionData {
  readonly id: string
}

const pageSize = 500

/**
 * A store for express-session that keeps sessions in a cache. A session expires after the `maxAge` of its cookie, rounded
 * up to the `ttlStep` of the store.
 *
 * Every method calls its callback exactly once, and never synchronously. A failure is passed to the callback, as a
 * `CacheError` if the store failed.
 *
 * @example
 * import session from 'express-session'
 *
 * const sessions = new SessionStore({ cache })
 * app.use(session({ secret: 'change me', resave: false, saveUninitialized: false, store: sessions }))
 */
export class SessionStore extends Store {
  readonly #cache: Cache
  readonly #readOptions: ReadOptions

  constructor({ cache, consistency = 'strong' }: SessionStoreOptions) {
    super()
    this.#cache = cache
    this.#readOptions = { consistency }
  }

  /** Passes `null` for a missing or expired session. */
  override get(id: string, callback: Callback<SessionData | null>): void {
    settle(this.#read(id), callback)
  }

  override set(id: string, session: SessionData, callback?: Callback<void>): void {
    settle(this.#write(id, session), callback)
  }

  /** Changes only the expiry: it neither overwrites what another request has written nor restores a missing session. */
  override touch(id: string, session: SessionData, callback?: Callback<void>): void {
    const touched = this.#cache.touch(id, { ttl: ttlOf(session) }).then(() => {})
    settle(touched, callback)
  }

  override destroy(id: string, callback?: Callback<void>): void {
    const deleted = this.#cache.delete(id).then(() => {})
    settle(deleted, callback)
  }

  /** All sessions. Fails with `ERR_CACHE_UNSUPPORTED` if the driver cannot list keys. */
  override all(callback: Callback<StoredSession[]>): void {
    settle(this.#readAll(), callback)
  }

  /** Number of keys in the cache. Fails with `ERR_CACHE_UNSUPPORTED` if the driver cannot list keys. */
  override length(callback: Callback<number>): void {
    const count = this.#listIds().then((ids) => ids.length)
    settle(count, callback)
  }

  /** Clears the cache: everything with its prefix, or the whole store if it has none. */
  override clear(callback?: Callback<void>): void {
    settle(this.#cache.clear(), callback)
  }

  async #read(id: string): Promise<SessionData | null> {
    return this.#toSession(await this.#cache.get(id, this.#readOptions)) ?? null
  }

  async #write(id: string, session: SessionData): Promise<void> {
    const value = this.#cache.storesByReference ? copyOf(session) : session
    await this.#cache.set(id, value, { ttl: ttlOf(session) })
  }

  async #readAll(): Promise<StoredSession[]> {
    const ids = await this.#listIds()
    const sessions: StoredSession[] = []
    for (let start = 0; start < ids.length; start += pageSize) {
      const page = ids.slice(start, start + pageSize)
      const values = await this.#cache.getMany(page, this.#readOptions)
      for (const [index, id] of page.entries()) {
        const session = this.#toSession(values[index])
        if (session !== undefined) sessions.push({ ...session, id })
      }
    }
    return sessions
  }

  /** `undefined` for a value that is not a session: without a cookie, express-session would throw on every request. */
  #toSession(value: unknown): SessionData | undefined {
    if (!isSession(value)) return undefined
    return this.#cache.storesByReference ? copyOf(value) : value
  }

  async #listIds(): Promise<string[]> {
    // A scan may return a key more than once.
    const ids = new Set<string>()
    for await (const id of this.#cache.keys()) ids.add(id)
    return [...ids]
  }
}

/**
 * The ttl of a session in milliseconds; `undefined` stands for the ttl of the cache. `originalMaxAge` is preferred to
 * `expires`: `touch` does not rewrite the session, so a session that was touched is read with the `expires` of its last
 * save. `expires` applies if there is no `originalMaxAge`, or if it is negative because the application ended the session.
 */
function ttlOf({ cookie }: Partial<SessionData>): number | undefined {
  const originalMaxAge = cookie?.originalMaxAge ?? 0
  if (originalMaxAge > 0) return originalMaxAge
  const expires = cookie?.expires
  // A string after a round trip through JSON; express-session also accepts null, false and an invalid Date.
  const remaining = expires ? new Date(expires).getTime() - Date.now() : Number.NaN
  return Number.isNaN(remaining) ? undefined : remaining
}

function isSession(value: unknown): value is SessionData {
  return typeof value === 'object' && value !== null && 'cookie' in value
}

/** A copy, as a store of bytes makes one: the request goes on to change the session that a store keeps by reference. */
function copyOf(session: SessionData): SessionData {
  return JSON.parse(JSON.stringify(session))
}

function settle<T>(promise: Promise<T>, callback: Callback<T> | undefined): void {
  // Outside the promise chain: an exception in the callback must not call it a second time with that exception.
  const call = (error: unknown, result?: T) => process.nextTick(() => callback?.(error, result))
  promise.then(
    (result) => call(null, result),
    (error) => call(error),
  )
}
