import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { finished } from 'node:stream'
import { type Duration, milliseconds } from '@stowage/core'
import { checkOptionNames, checkTimeout } from '@stowage/core/driver'
import { exchangeKey } from './messages/patched-messages.ts'
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
interface LockableRequest extends IncomingMessage {
  readonly sessionID?: string
  readonly sessionStore?: AnySessions & { generate?(request: unknown): void }
  readonly session?: {
    reload(callback: Callback): unknown
    save(callback: Callback): unknown
  } | null
  readonly [exchangeKey]?: { restart(): Promise<void> }
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
  const turns = new RequestTurns(options)
  return (request, response, next) => {
    turns
      .wait(request, () => endOf(response))
      .then(
        // An exception of the handler becomes an uncaught exception, as without a lock.
        (isItsTurn) => isItsTurn && process.nextTick(next),
        (error: unknown) => process.nextTick(next, error),
      )
  }
}

/** Aborted when a response is finished or its connection closed. */
export function endOf(response: ServerResponse): AbortSignal {
  const end = new AbortController()
  finished(response, () => end.abort())
  return end.signal
}

/** The sessions of each request that holds the lock of its session. */
const lockedSessions = new WeakMap<IncomingMessage, AnySessions>()

/** Lets the requests of one session run one after another. */
export class RequestTurns {
  readonly #ttl: Duration
  readonly #wait: Duration

  /** @throws CacheError `ERR_CACHE_CONFIG` or TypeError for invalid options */
  constructor(options: SessionLockOptions) {
    checkOptionNames<SessionLockOptions>('sessionLock', options, { ttl: true, wait: true })
    const { ttl = '30s', wait = '10s' } = options
    checkTimeout('sessionLock: ttl', ttl)
    milliseconds(wait)
    this.#ttl = ttl
    this.#wait = wait
  }

  /**
   * Resolves when it is the turn of a request, which then has the lock of its session until the signal of `endOf` is
   * aborted. Resolves to `false` if that is aborted before.
   */
  async wait(request: IncomingMessage, endOf: () => AbortSignal): Promise<boolean> {
    const { sessionID, sessionStore, session } = request as LockableRequest
    const sessions = sessionStore && sessionsOf(sessionStore)
    if (sessions === undefined || sessionID === undefined) throw lacksSession()
    // Only this request has its id.
    if (!session || sessions.storedText(session) === undefined) return true
    // An earlier middleware of the request has the lock.
    if (lockedSessions.get(request) === sessions) return true
    const end = endOf()
    const lock = sessions.lockOf(sessionID, this.#ttl, session)
    return new Promise((resolve, reject) => {
      const handle = async () => {
        await readAgain(request)
        end.throwIfAborted()
        lockedSessions.set(request, sessions)
        const ended = once(end, 'abort')
        resolve(true)
        await ended
      }
      const fail = (error: unknown) => (end.aborted ? resolve(false) : reject(error))
      lock.run(handle, { wait: this.#wait, signal: end }).catch(fail)
    })
  }
}

async function readAgain(request: LockableRequest): Promise<void> {
  if (request[exchangeKey] !== undefined) return request[exchangeKey].restart()
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

/** Whether `reload` of express-session has failed because the store does not have the session any more. */
function hasEnded(error: unknown): boolean {
  return error instanceof Error && error.message === 'failed to load session'
}

function lacksSession(): TypeError {
  return new TypeError(
    'sessionLock: the request has no session. Use it behind session(), or behind express-session with a SessionStore.',
  )
}
