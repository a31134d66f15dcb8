import type { Cache } from '@stowage/core'
import { Sessions, type SessionsOptions } from '@stowage/sessions'
import { type Session, type SessionData, Store } from 'express-session'

export interface SessionStoreOptions extends Omit<SessionsOptions<SessionData>, 'cache'> {
  /**
   * The cache that sessions are stored in. Its prefix separates them from other entries. Its ttl applies to sessions
   * whose cookie has no expiry (it ends with the browser session).
   */
  readonly cache: Cache
}

type Callback<T> = (error?: unknown, result?: T) => void

/** A session as returned by `all`. */
export interface StoredSession extends SessionData {
  /** A digest of the id of the session, which `destroy` accepts as well. */
  readonly id: string
}

/**
 * A store for express-session and compatible middlewares that keeps sessions in a cache. A session expires after the
 * `maxAge` of its cookie, rounded up to the `ttlStep` of the store.
 *
 * A session that a request has read is stored with `set` only as long as it exists, and together with the changes that
 * other requests have made meanwhile. See `Sessions` of `@stowage/sessions`.
 *
 * Every method calls its callback exactly once, and never synchronously. A failure is passed to the callback, as a
 * `CacheError` if the store failed.
 *
 * @example
 * import session from 'express-session'
 *
 * const sessions = new SessionStore({ cache })
 * app.use(session({ secret: sessionSecret(process.env), resave: false, saveUninitialized: false, store: sessions }))
 */
export class SessionStore extends Store {
  /** The sessions themselves, with methods that return promises. */
  readonly sessions: Sessions<SessionData>

  /** @throws CacheError `ERR_CACHE_CONFIG` for invalid options */
  constructor(options: SessionStoreOptions) {
    super()
    this.sessions = new Sessions<SessionData>(options)
    markNewSessions(this, this.sessions)
  }

  /** Passes `null` for a missing or expired session. */
  override get(id: string, callback: Callback<SessionData | null>): void {
    settle(this.#read(id), callback)
  }

  override set(id: string, session: SessionData, callback?: Callback<void>): void {
    settle(this.sessions.update(id, session), callback && withoutResult(callback))
  }

  /** Changes only the expiry: it neither overwrites what another request has written nor restores a missing session. */
  override touch(id: string, session: SessionData, callback?: Callback<void>): void {
    settle(this.sessions.touch(id, session), callback && withoutResult(callback))
  }

  override destroy(id: string, callback?: Callback<void>): void {
    settle(this.sessions.destroy(id), callback)
  }

  /** All sessions. Fails with `ERR_CACHE_UNSUPPORTED` if the driver cannot list keys. */
  override all(callback: Callback<StoredSession[]>): void {
    settle(this.#readAll(), callback)
  }

  /** Number of sessions. Fails with `ERR_CACHE_UNSUPPORTED` if the driver cannot list keys. */
  override length(callback: Callback<number>): void {
    const count = this.sessions.keys().then(({ length }) => length)
    settle(count, callback)
  }

  /**
   * Clears the cache: everything with its prefix, or the whole store if it has none. With `migrateFrom`, also the cache that
   * sessions are moved from.
   */
  override clear(callback?: Callback<void>): void {
    settle(this.sessions.clear(), callback)
  }

  /** Called by the middleware with a session that `get` has passed to it. */
  override createSession(request: Request, data: SessionData): Session & SessionData {
    const baseline = this.sessions.takeBaseline(data)
    const session = super.createSession(request, data)
    if (baseline !== undefined) this.sessions.setBaseline(session, baseline)
    return session as Session & SessionData
  }

  async #read(id: string): Promise<SessionData | null> {
    const found = await this.sessions.readWithBaseline(id)
    // Without a cookie, express-session would throw an error in every request.
    if (found?.session.cookie === undefined) return null
    // Other middlewares copy the session instead of calling `createSession`.
    this.sessions.carryBaseline(found.session, found.baseline)
    return found.session
  }

  async #readAll(): Promise<StoredSession[]> {
    const listed = await this.sessions.all()
    return listed
      .filter(({ session }) => session.cookie !== undefined)
      .map(({ key, session }) => ({ ...session, id: key }))
  }
}

type Request = Parameters<Store['createSession']>[0]
type Generate = (request: Request) => void

/** The middleware assigns `generate`, which makes a session that is not stored yet. */
function markNewSessions(store: Store, sessions: Sessions<SessionData>): void {
  let generate: Generate | undefined
  const set = (make: Generate) => {
    generate = (request) => {
      make(request)
      sessions.markAsNew(request.session)
    }
  }
  Object.defineProperty(store, 'generate', { configurable: true, get: () => generate, set })
}

function withoutResult(callback: Callback<void>): Callback<unknown> {
  return (error) => callback(error)
}

/** Calls the callback in a later tick. An exception in it becomes an uncaught exception, not a second call. */
function settle<T>(work: Promise<T>, callback: Callback<T> | undefined): void {
  work.then(
    (result) => callback && process.nextTick(callback, null, result),
    (error: unknown) => callback && process.nextTick(callback, error),
  )
}
