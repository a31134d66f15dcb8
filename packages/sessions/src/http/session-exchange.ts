import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { publishSession, sessionChannels } from '../channels.ts'
import { unchangedKeys } from '../data/merge.ts'
import { keyOfId } from '../data/session-key.ts'
import { Cookie, type CookieOptions } from './cookie.ts'
import { HeldResponse, type Hold, isResponse } from './messages/held-response.ts'
import {
  addProperties,
  exchangeKey,
  type HeldRequest,
  type PropertySource,
} from './messages/patched-messages.ts'
import type { Settings } from './middleware-options.ts'
import { RequestSession, type SessionActions } from './request-session.ts'
import { isSecure, type RequestFacts, ResponseCookie } from './response-cookie.ts'

export type Next = (error?: unknown) => void

/** What the middleware adds to a request. */
export interface SessionRequest extends HeldRequest, RequestFacts {
  session?: RequestSession | null | undefined
  [exchangeKey]?: SessionExchange
}

const idBytes = 24

/**
 * A request, its response and its session. `begin` reads the session and passes the request on. Then the application calls it through the
 * properties of the request (`PropertySource`) and the methods of the session (`SessionActions`), and the response before it
 * is sent (`Hold`): `commit` decides what is stored, and which cookie is set.
 */
export class SessionExchange implements SessionActions, Hold, PropertySource {
  readonly #request: SessionRequest
  readonly #response: ServerResponse
  readonly #next: Next
  readonly #settings: Settings
  readonly #cookieOptions: CookieOptions
  readonly #cookie: ResponseCookie
  /** The id that the browser has sent. */
  readonly #cookieId: string | undefined
  #session: RequestSession | null | undefined
  /** The session that was read or generated last, also after the application has taken it away. */
  #lastSession: RequestSession | undefined
  /** As `request.sessionID`. */
  #id: string | undefined
  /** What was stored when the session was read; `undefined` for a new one. */
  #before: { readonly body: string } | undefined
  /** The JSON of the session when its response began. */
  #committedBody: string | undefined
  /** Whether this request ends its session. */
  #isEnding = false
  /** Settles when the session has ended. Set until then; rejects if the application does not receive the error. */
  #ending: Promise<void> | undefined
  /** Set during `regenerate`, until it is known whether another request had ended the session before. */
  #keeping: Promise<void> | undefined
  /** The cookie of the session, once it has ended. */
  #endedCookie: Cookie | undefined
  #isUsed = false
  /** Set when the session was read. Until then, that of another session middleware, if there is one. */
  held: HeldResponse | undefined

  constructor(
    request: SessionRequest,
    response: ServerResponse,
    next: Next,
    settings: Settings,
    cookieOptions: CookieOptions,
  ) {
    this.#request = request
    this.#response = response
    this.#next = next
    this.#settings = settings
    this.#cookieOptions = cookieOptions
    this.#cookie = new ResponseCookie(request, response, settings, this)
    this.#cookieId = settings.readId(request.headers.cookie)
  }

  begin(): void {
    const request = this.#request
    // Another session middleware before this one may hold the response already.
    this.held = request[exchangeKey]?.held
    request[exchangeKey] = this
    addProperties(request)
    if (this.#cookieId === undefined) this.#proceed()
    else this.#read(this.#cookieId).then(() => this.#proceed(), this.#next)
  }

  /** Whether the application has read or replaced the session. */
  get isUsed(): boolean {
    return this.#isUsed
  }

  get id(): string | undefined {
    return this.#id
  }

  get store(): unknown {
    return this.#settings.options.store
  }

  rename(id: string | undefined): void {
    this.#id = id
  }

  use(): RequestSession | null | undefined {
    this.#isUsed = true
    return this.#session
  }

  replace(session: RequestSession | null | undefined): void {
    this.#isUsed = true
    this.#session = session
  }

  save(session: RequestSession): Promise<unknown> {
    return this.#settings.sessions.update(RequestSession.idOf(session), session)
  }

  async reload(): Promise<void> {
    if (!(await this.#readAgain())) throw new Error('The session has ended.')
  }

  /** Reads the session again, as if the request began now. Called when it has waited for others. */
  async restart(): Promise<void> {
    if (!(await this.#readAgain())) this.#generate()
  }

  async destroy(isReported: boolean): Promise<void> {
    await this.#end(isReported)
  }

  async regenerate(keep: readonly string[], isReported: boolean): Promise<void> {
    // An earlier call may have to take back what this one would keep.
    while (this.#keeping !== undefined) await this.#keeping
    const before = this.#session
    const stored = unchangedKeys(before, this.#before?.body, keep)
    const exists = stored.length === 0 ? undefined : this.#exists()
    // The new session must exist even if the old one could not be deleted: the application decides what to do then.
    const ended = this.#end(isReported, exists).then(undefined, (error: unknown) => ({ error }))
    this.#generate()
    const after = this.#session as unknown as RequestSession
    const kept = keep.filter((key) => before && Object.hasOwn(before, key) && !(key in after))
    for (const key of kept) after[key] = before?.[key]
    const outdated = kept.filter((key) => stored.includes(key))
    this.#keeping = exists && this.#forgetUnless(exists, after, outdated)
    await this.#keeping
    const failure = await ended
    if (failure !== undefined) throw failure.error
  }

  /** The id of the session, and not what the application has assigned to `request.sessionID`. */
  get #ownId(): string | undefined {
    return this.#lastSession && RequestSession.idOf(this.#lastSession)
  }

  /** Whether the session still exists; `false` if that is not known. */
  async #exists(): Promise<boolean> {
    try {
      const { sessions } = this.#settings
      const id = this.#ownId
      return id !== undefined && (await sessions.readAgain(id)) !== undefined
    } catch {
      return false
    }
  }

  /**
   * Takes back what a new session has from one that had ended already: a slow request would carry its user over an end of all
   * sessions of the user.
   */
  async #forgetUnless(
    exists: Promise<boolean>,
    session: RequestSession,
    keys: readonly string[],
  ): Promise<void> {
    if (!(await exists)) for (const key of keys) delete session[key]
    this.#keeping = undefined
  }

  #proceed(): void {
    try {
      if (!this.#session) this.#generate()
      this.#hold()
    } catch (error) {
      this.#next(error)
      return
    }
    this.#next()
  }

  #hold(): void {
    const response = this.#response as ServerResponse & { req: IncomingMessage }
    if (!isResponse(response)) return
    // Its methods find the session through its request. Adapters of serverless platforms create it with another one.
    if (response.req !== this.#request) response.req = this.#request
    this.held = new HeldResponse(response, this, this.held)
  }

  /** Returns whether the session exists. If not, that of the request remains. */
  async #read(id: string): Promise<boolean> {
    return this.#take(id, await this.#settings.sessions.readWithBaseline(id))
  }

  async #readAgain(): Promise<boolean> {
    const id = this.#ownId
    return id !== undefined && this.#take(id, await this.#settings.sessions.readAgain(id))
  }

  #take(id: string, found: Awaited<ReturnType<Settings['sessions']['readWithBaseline']>>): boolean {
    const { sessions } = this.#settings
    if (found === undefined) return false
    const stored: Record<string, unknown> = found.session
    const { cookie } = stored
    const restored =
      cookie === undefined ? this.#newCookie() : Cookie.restore(cookie as Record<string, unknown>)
    const session = new RequestSession(id, this, restored, stored)
    sessions.setBaseline(session, found.baseline)
    this.#before = sessions.storedText(session)
    this.#session = session
    this.#lastSession = session
    this.#id = id
    return true
  }

  #generate(): void {
    const { sessions } = this.#settings
    const id = this.#createId()
    const session = new RequestSession(id, this, this.#newCookie())
    sessions.markAsNew(session)
    this.#before = undefined
    this.#session = session
    this.#lastSession = session
    this.#id = id
  }

  #createId(): string {
    const { genid } = this.#settings.options
    if (genid === undefined) return randomBytes(idBytes).toString('base64url')
    const id: unknown = genid(this.#request)
    if (typeof id === 'string' && id !== '' && id.isWellFormed()) return id
    throw new TypeError(
      'session: genid must return a non-empty, well-formed string, and not a promise.',
    )
  }

  #newCookie(): Cookie {
    return new Cookie(this.#cookieOptions, isSecure(this.#request, this.#settings.options.proxy))
  }

  /**
   * Takes the session away from the request, and deletes it.
   *
   * @param isReported whether the application receives errors
   * @param earlier what has to settle before
   */
  #end(isReported: boolean, earlier?: Promise<unknown>): Promise<void> {
    const cookie = this.#session?.cookie ?? this.#newCookie()
    const id = this.#ownId
    this.#isEnding = true
    this.#session = undefined
    const session = this.#lastSession
    const destroy = () => this.#settings.sessions.destroy(id as string, session)
    const ended = id === undefined ? Promise.resolve() : (earlier?.then(destroy) ?? destroy())
    const ending = ended.then(
      () => {
        this.#endedCookie = cookie
      },
      (error: unknown) => {
        if (!isReported) throw error
      },
    )
    // A request may end several sessions, one after another.
    const endings = Promise.all([this.#ending, ending]).then(() => {
      if (this.#ending === endings) this.#ending = undefined
    })
    endings.catch(ignore)
    this.#ending = endings
    return ended
  }

  /** Stores the session and sets the cookie. Returns nothing if nothing has to be stored. */
  commit(): Promise<void> | undefined {
    if (this.#keeping === undefined) return this.#commitNow()
    if (this.held?.canWait === false) {
      throw new Error(
        'session: the response began before regenerate had finished, and cannot wait for it, as an application of another ' +
          'copy of Express responds. Respond in the callback of regenerate, or mount that application: app.use(inner).',
      )
    }
    return this.#keeping.then(() => this.commit())
  }

  #commitNow(): Promise<void> | undefined {
    this.#noticeDeletion()
    const session = this.#session
    if (!session) return this.#commitNone()
    RequestSession.check(session)
    const id = RequestSession.idOf(session)
    session.cookie.touch()
    const { sessions, options } = this.#settings
    const { body, isDue, save } = sessions.inspect(session)
    this.#committedBody = body
    const isNewToBrowser = id !== this.#cookieId
    const before = this.#before
    const isModified = before === undefined ? body !== '{}' : !sessions.hasBody(before, body)
    if (isNewToBrowser && !isModified && !options.saveUninitialized && !this.#isStored(session)) {
      return this.#clearCookie()
    }
    const { rolling } = options
    const hasNewExpiry = isModified || (rolling ?? isDue)
    // What is stored expires later, and so must its cookie.
    const isExtended = rolling || (hasNewExpiry && session.cookie.expires !== null)
    if (this.#isRotationDue(session)) {
      return this.#rotate(session, isDue ? save : undefined, isExtended)
    }
    if (isNewToBrowser) this.#setCookie(session)
    else if (isExtended) this.#extendCookie(session)
    const saving = isDue ? save(id).then(ignore) : undefined
    // The session before, which `regenerate` ends.
    return this.#ending === undefined ? saving : Promise.all([saving, this.#ending]).then(ignore)
  }

  #isRotationDue(session: RequestSession): boolean {
    const { sessions, rotateAfter } = this.#settings
    if (rotateAfter === Infinity || RequestSession.idOf(session) !== this.#cookieId) return false
    if (sessions.ageOfId(session) < rotateAfter) return false
    // Without the cookie of the new id, the browser would lose its session. Koa removes it from the response to an error.
    const canSend =
      this.held?.canWait === true &&
      this.#response.statusCode < 500 &&
      this.#cookie.canSend(session.cookie)
    return canSend && !this.#hasOtherId(session)
  }

  /** Whether only another response knows the id of the session: the cookie of this one would replace it by the old one. */
  #hasOtherId(session: RequestSession): boolean {
    const { sessions } = this.#settings
    return sessions.rotates && sessions.hasOtherId(RequestSession.idOf(session), session)
  }

  async #rotate(
    session: RequestSession,
    save: ((id: string) => Promise<unknown>) | undefined,
    isExtended: boolean,
  ): Promise<void> {
    const id = RequestSession.idOf(session)
    await save?.(id)
    const newId = this.#createId()
    const outcome = await this.#settings.sessions.rotate(id, newId, session)
    if (outcome === 'rotated') {
      RequestSession.rename(session, newId)
      this.#id = newId
      this.#cookie.set(session)
    } else if (isExtended) this.#extendCookie(session)
  }

  #setCookie(session: RequestSession): void {
    if (!this.#hasOtherId(session)) this.#cookie.set(session)
  }

  #extendCookie(session: RequestSession): void {
    if (!this.#hasOtherId(session)) this.#cookie.extend(session)
  }

  /** `delete request.session` removes the accessor, after which the application may assign another session. */
  #noticeDeletion(): void {
    const request = this.#request
    if (request[exchangeKey] !== this) return
    const isUsed = this.#isUsed
    this.#session = request.session
    this.#isUsed = isUsed
  }

  #commitNone(): Promise<void> | undefined {
    if (!this.#isEnding && this.#settings.options.unset === 'destroy') void this.#end(false)
    return this.#clearCookie()
  }

  #isStored(session: RequestSession): boolean {
    return this.#settings.sessions.storedText(session) !== undefined
  }

  /** Makes the browser forget a session that has ended in this request. One that may still exist keeps its cookie. */
  #clearCookie(): Promise<void> | undefined {
    if (this.#ending !== undefined) return this.#clearLater(this.#ending)
    if (this.#cookieId !== undefined && this.#endedCookie !== undefined) {
      this.#cookie.clear(this.#endedCookie)
    }
    return undefined
  }

  async #clearLater(ending: Promise<void>): Promise<void> {
    await ending
    // Unless the response could not wait.
    if (this.held?.isWaiting) this.#clearCookie()
  }

  recheck(): void {
    this.#cookie.recheck()
  }

  undo(): void {
    this.#cookie.undo()
  }

  onError(error: unknown): void {
    this.#next(error)
  }

  /** Publishes that the session was changed after its response had begun. */
  onEnd(): void {
    const last = this.#lastSession
    if (!sessionChannels.late.hasSubscribers || !this.#session || last === undefined) return
    if (this.#committedBody === undefined || !this.#hasChangedSince(this.#committedBody)) return
    const { name } = this.#settings.sessions.cache
    publishSession('late', name, keyOfId(RequestSession.idOf(last)))
  }

  #hasChangedSince(body: string): boolean {
    try {
      return this.#settings.sessions.inspect(this.#session as RequestSession).body !== body
    } catch {
      return true // It could not be stored, and is not.
    }
  }
}

function ignore(): void {}
