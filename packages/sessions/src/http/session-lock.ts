import type { IncomingMessage, ServerResponse } from 'node:http'
import { finished } from 'node:stream'
import { type Duration, milliseconds } from '@stowage/core'
import { checkOptionNames, checkTimeout } from '@stowage/core/driver'
import { holderKey } from './messages/holder.ts'
import { type AnySessions, sessionsOf } from './middleware-options.ts'
import type { SessionMiddleware } from './session-middleware.ts'

type Callback = (error?: unknown) => void

export interface SessionLockOptions {
  /**
   * For how long a process that has crashed blocks the other requests of its session, at most. A request that takes longer
   * keeps the lock: it is renewed until the response is finished or its connection closed. @default '30s'
   */
  readonly ttl?: Duration | undefined
  /** How long a request waits for the others, at most. Then it fails with `ERR_CACHE_LOCKED`. @default '10s' */
  readonly wait?: Duration | undefined
}

/** A request with the session of this package or of express-session. */
interface SessionRequest extends IncomingMessage {
  readonly sessionID?: string
  readonly sessionStore?: AnySessions & { generate?(request: unknown): void }
  readonly session?: {
    reload(callback: Callback): unknown
    save(callback: Callback): unknown
  } | null
  readonly [holderKey]?: { restart(): Promise<void> }
}

/**
 * Creates a middleware that lets the requests of one session run one after another, in all processes. Use it on the routes
 * that need it, between that of the session and whatever uses the session: it reads the session again when it is the turn
 * of the request. Requests without a stored session do not wait.
 *
 * The sessions must be those of `session()`, or of express-session with the `SessionStore` of `@stowage/express`. The
 * request fails with the `CacheError` `ERR_CACHE_LOCKED` if the others take longer than `wait`.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` or TypeError for invalid options
 * @example
 * app.post('/checkout', sessionLock({ ttl: '30s', wait: '10s' }), (request, response) => {
 *   response.end('No other request of this session is handled meanwhile.')
 * })
 */
export function sessionLock(options: SessionLockOptions = {}): SessionMiddleware {
  checkOptionNames<SessionLockOptions>('sessionLock', options, { ttl: true, wait: true })
  const { ttl = '30s', wait = '10s' } = options
  checkTimeout('sessionLock: ttl', ttl)
  milliseconds(wait)
  return (request, response, next) => {
    const turn = new LockedRequest(request as SessionRequest, response, next)
    turn.run(ttl, wait).catch(turn.fail)
  }
}

/** The sessions of each request that holds the lock of its session. */
const lockedSessions = new WeakMap<IncomingMessage, AnySessions>()

/** A request that holds the lock of its session. */
class LockedRequest {
  readonly #request: SessionRequest
  readonly #response: ServerResponse
  readonly #next: Callback
  #hasBegun = false

  constructor(request: SessionRequest, response: ServerResponse, next: Callback) {
    this.#request = request
    this.#response = response
    this.#next = next
  }

  async run(ttl: Duration, wait: Duration): Promise<void> {
    const { sessionID, sessionStore, session } = this.#request
    const sessions = sessionStore && sessionsOf(sessionStore)
    if (sessions === undefined || sessionID === undefined) throw lacksSession()
    // Only this request has its id.
    if (!session || sessions.storedText(session) === undefined) return this.#begin()
    // An earlier middleware of the request has the lock.
    if (lockedSessions.get(this.#request) === sessions) return this.#begin()
    const closed = new AbortController()
    this.#response.once('close', () => closed.abort())
    const lock = sessions.lockOf(sessionID, ttl, session)
    await lock.run(() => this.#handle(sessions), { wait, signal: closed.signal })
  }

  /** Passes an error on, unless the request is being handled already, or its client has closed the connection. */
  readonly fail = (error: unknown): void => {
    if (!this.#hasBegun && !this.#response.destroyed) process.nextTick(this.#next, error)
  }

  /** Resolves when the response is finished or its connection closed. */
  async #handle(sessions: AnySessions): Promise<void> {
    await this.#readAgain()
    const response = this.#response
    if (response.destroyed) return
    lockedSessions.set(this.#request, sessions)
    const ended = new Promise<void>((resolve) => finished(response, () => resolve()))
    this.#begin()
    await ended
  }

  async #readAgain(): Promise<void> {
    const request = this.#request
    if (request[holderKey] !== undefined) return request[holderKey].restart()
    try {
      await new Promise<void>((resolve, reject) => {
        request.session?.reload((error) => (error ? reject(error) : resolve()))
      })
    } catch (error) {
      if (!hasEnded(error)) throw error
      request.sessionStore?.generate?.(request)
      return
    }
    // express-session stores a session only if it differs from the last one that it has saved, which `reload` does not
    // change. Nothing is written: the session is as it was read.
    await new Promise<void>((resolve, reject) => {
      request.session?.save((error) => (error ? reject(error) : resolve()))
    })
  }

  #begin(): void {
    this.#hasBegun = true
    // An exception of the handler becomes an uncaught exception, as without a lock.
    process.nextTick(this.#next)
  }
}

/** Whether `reload` of express-session has failed because the store does not have the session any more. */
function hasEnded(error: unknown): boolean {
  return error instanceof Error && error.message === 'failed to load session'
}

function lacksSession(): TypeError {
  return new TypeError(
    'sessionLock: the request has no session. Use it behind session(), or behind express-session with a SessionStore.',
  )
}
