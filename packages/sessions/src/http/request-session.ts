import type { Cookie } from './cookie.ts'

type Callback = (error?: unknown) => void

/** What a session does through its request. An error that is not reported to a callback fails the response. */
export interface SessionActions {
  save(session: RequestSession): Promise<unknown>
  reload(): Promise<unknown>
  destroy(isReported: boolean): Promise<unknown>
  regenerate(keep: readonly string[], isReported: boolean): Promise<unknown>
}

export interface RegenerateOptions {
  /**
   * The keys of the session that its successor has as well. If the session has ended since the request has read it, only what
   * the request has set is kept. @default none
   */
  readonly keep?: readonly string[]
}

/**
 * The session of a request, with the methods of that of express-session. Each method calls its callback once, after
 * it has returned, with an error or without arguments.
 */
export class RequestSession {
  declare cookie: Cookie
  // Not properties, so that a session has no keys but those of the application.
  #id: string
  readonly #actions: SessionActions;
  [key: string]: unknown

  /** @param data the fields of a stored session. Their cookie, and keys that have the name of a method, are left out */
  constructor(
    id: string,
    actions: SessionActions,
    cookie: Cookie,
    data: Readonly<Record<string, unknown>> = {},
  ) {
    this.#id = id
    this.#actions = actions
    this.cookie = cookie
    for (const key in data) if (!(key in this)) this[key] = data[key]
  }

  /** The id. Keep it secret: it is sufficient to use the session. */
  get id(): string {
    return this.#id
  }

  /**
   * The id of what an application has as `request.session`. Not its property `id`: a key `__proto__` that an application assigns
   * from a request gives the session another prototype, and that would choose the id for which the cookie is signed.
   */
  static idOf(session: RequestSession): string {
    return (#id in session ? session.#id : (session as RequestSession).id) as string
  }

  /** @throws TypeError for what an application has put in place of a session or of its cookie */
  static check(session: unknown): void {
    const { cookie } = session as Partial<RequestSession>
    const isSession = typeof session === 'object' && typeof cookie?.touch === 'function'
    if (isSession && typeof RequestSession.idOf(session as RequestSession) === 'string') return
    throw new TypeError(
      'request.session must be a session, and request.session.cookie its cookie. Assign to their properties instead.',
    )
  }

  /** Called when the session has got another id. */
  static rename(session: RequestSession, id: string): void {
    session.#id = id
  }

  /** Stores the session now. */
  save(callback?: Callback): this {
    report(this.#actions.save(this), callback)
    return this
  }

  /**
   * Reads the session again. `request.session` is a new object then. Fails if the session has ended, or is not stored yet;
   * `request.session` stays as it is.
   */
  reload(callback?: Callback): this {
    report(this.#actions.reload(), callback)
    return this
  }

  /**
   * Ends the session. The response waits for that, and clears the cookie. If the store fails, the cookie stays, as the session
   * may still exist: `callback` receives the error, or else the error handlers of the application respond.
   */
  destroy(callback?: Callback): this {
    report(this.#actions.destroy(callback !== undefined), callback)
    return this
  }

  /**
   * Ends the session, and begins a new one with another id. Call it at each login.
   *
   * @throws TypeError if `keep` is not a list
   */
  regenerate(options?: RegenerateOptions | Callback, callback?: Callback): this {
    const { keep = [] } = typeof options === 'object' ? options : {}
    if (!Array.isArray(keep)) throw new TypeError('regenerate: keep must be a list of keys.')
    const done = typeof options === 'function' ? options : callback
    report(this.#actions.regenerate(keep, done !== undefined), done)
    return this
  }

  /** Moves the expiry of the cookie, as each request does. */
  touch(): this {
    this.cookie.touch()
    return this
  }

  /** The same as `touch`. */
  resetMaxAge(): this {
    return this.touch()
  }
}

/** An exception in the callback becomes an uncaught exception, not a second call. */
function report(work: Promise<unknown>, callback: Callback | undefined): void {
  work.then(
    () => callback && process.nextTick(callback),
    (error: unknown) => callback && process.nextTick(callback, error),
  )
}
