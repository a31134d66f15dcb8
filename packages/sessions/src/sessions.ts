import { type Cache, type Duration, type Lock, milliseconds } from '@stowage/core'
import { publishSession } from './channels.ts'
import { unchangedKeys } from './data/merge.ts'
import type { SessionCookie } from './data/session-cookie.ts'
import { cookieOf, hasBody, type SessionText, toFields, toText } from './data/session-item.ts'
import { keyOfId, sessionKey } from './data/session-key.ts'
import { type ListedSession, SessionLister } from './reading/session-lister.ts'
import { SessionReader } from './reading/session-reader.ts'
import { resolveOptions, type SessionContext } from './session-context.ts'
import type { SessionsOptions } from './session-options.ts'
import { SessionRemover } from './session-remover.ts'
import type { SessionUsers } from './users/session-users.ts'
import {
  BaselineField,
  baselineOf,
  carryBaseline,
  type SessionAndBaseline,
  SessionBaseline,
  takeBaseline,
} from './writing/session-baseline.ts'
import { type SessionQueue, SessionQueues } from './writing/session-queues.ts'
import { type RotateOutcome, type SaveOutcome, SessionWriter } from './writing/session-writer.ts'

const defaultGrace = '30s'

/**
 * Stores sessions in a cache. A session is a plain object that can be represented as JSON.
 *
 * The object that `read` returns has what was stored as its baseline, so that `update` stores only its changes:
 * - A session that has ended since (destroyed, cleared, expired) is not stored again.
 * - Changes of other requests to other keys are kept.
 * - If nothing has changed, only the expiry is moved, and that rarely.
 *
 * Calls for one session run one after another within a process. A method rejects with a `CacheError` if the store fails.
 *
 * @example
 * const sessions = new Sessions({ cache: new Cache(memory(), { prefix: 'session:', ttl: '1d' }) })
 * const id = crypto.randomUUID()
 * await sessions.create(id, { userId: 7 })
 * const session = await sessions.read(id)
 * if (session !== undefined) {
 *   session['visits'] = 1
 *   await sessions.update(id, session)
 * }
 * await sessions.destroy(id)
 */
export class Sessions<T extends object = Record<string, unknown>> {
  readonly #context: SessionContext
  readonly #queues = new SessionQueues()
  readonly #reader: SessionReader
  readonly #writer: SessionWriter
  readonly #remover: SessionRemover
  readonly #lister: SessionLister<T>

  /** @throws CacheError `ERR_CACHE_CONFIG` for invalid options */
  constructor(options: SessionsOptions<T>) {
    const context = resolveOptions(options)
    const reader = new SessionReader(context)
    this.#context = context
    this.#reader = reader
    this.#writer = new SessionWriter(context, reader)
    this.#remover = new SessionRemover(context, reader)
    this.#lister = new SessionLister(context, reader)
  }

  /** The cache that the sessions are stored in. */
  get cache(): Cache {
    return this.#context.cache
  }

  /** Whether sessions may get other ids. */
  get rotates(): boolean {
    return this.#context.rotates
  }

  /** Reads a session. Resolves to `undefined` if it is missing or has expired. */
  async read(id: string): Promise<T | undefined> {
    const found = await this.readWithBaseline(id)
    if (found !== undefined) this.setBaseline(found.session, found.baseline)
    return found?.session
  }

  /** Like `read`, for a framework that creates an object of its own from the session. `setBaseline` gives that the baseline. */
  readWithBaseline(id: string): Promise<SessionAndBaseline<T> | undefined> {
    return this.#readWithBaseline(id, false)
  }

  /**
   * Does `readWithBaseline` for a request that has read the session before. Its id may have become an old one meanwhile, which
   * leads to the session after its `grace` as well, for an hour.
   */
  readAgain(id: string): Promise<SessionAndBaseline<T> | undefined> {
    return this.#readWithBaseline(id, true)
  }

  async #readWithBaseline(
    id: string,
    isAgain: boolean,
  ): Promise<SessionAndBaseline<T> | undefined> {
    const key = keyOfId(id)
    // The writes of this process come first.
    const writing = this.#queues.settled(key)
    if (writing !== undefined) await writing
    const reader = this.#reader
    const found = await (isAgain ? reader.readToWrite(key, id) : reader.read(key, id))
    if (found === undefined) return undefined
    // The fields would be those of the stored object.
    const session = this.#context.cache.storesByReference
      ? toFields(found.stored.text)
      : found.fields
    return {
      session: session as T,
      baseline: new SessionBaseline(found.stored.created, key, found),
    }
  }

  /**
   * Stores a new session. Give it an id of at least 128 random bits.
   *
   * @throws CacheError `ERR_CACHE_REJECTED` if a session with this id exists, `ERR_CACHE_LIMIT` if it is too large
   */
  async create(id: string, session: T): Promise<SaveOutcome> {
    this.markAsNew(session)
    return this.update(id, session)
  }

  /**
   * Stores a session: the changes of one that was read with this id, or a new one. An object that is neither is stored as
   * it is, whatever is stored under the id.
   *
   * @throws CacheError `ERR_CACHE_LIMIT` if it is too large. The stored session is unchanged then
   */
  async update(id: string, session: T): Promise<SaveOutcome> {
    return this.#save(id, session, toText(session))
  }

  #save(id: string, session: T, text: SessionText): Promise<SaveOutcome> {
    return this.#inOrder(id, async (key, queue) => {
      const known = this.#baselineOf(session, key)
      const baseline = known ?? this.#newBaseline()
      const target = { key, id, baseline, queue }
      if (baseline.view !== undefined) return this.#writer.update(target, text)
      if (known !== undefined) return this.#writer.create(target, text)
      const outcome = await this.#writer.put(target, text)
      this.setBaseline(session, baseline)
      return outcome
    })
  }

  /**
   * Moves the expiry of a session that was read, and stores its cookie if that has other attributes. Nothing else is
   * stored, and a missing session is not restored.
   */
  async touch(id: string, session: T): Promise<SaveOutcome> {
    const cookie = cookieOf(session)
    const known = this.#baselineOf(session, keyOfId(id))
    // Nothing to do, as for most requests: a write that this process is making moves the expiry as well.
    if (known !== undefined && this.#isCookieInStep(known, cookie)) return 'unchanged'
    return this.#inOrder(id, async (key, queue) => {
      const baseline = known ?? (await this.#readBaseline(key, id))
      if (baseline.view === undefined) return 'unchanged'
      const { body } = baseline.view
      const ours = { body, cookie: cookie ?? baseline.view.cookie }
      return this.#writer.update({ key, id, baseline, queue }, ours)
    })
  }

  /**
   * Gives a session that was read the id `newId`. For `grace`, the old id leads to the session as well, so that requests
   * which the browser has sent before it received the new id are answered. Destroying either id ends the session.
   * Changes of the session object are not stored. Requires the option `rotation`.
   *
   * Resolves to `'unchanged'` if another request has rotated the session meanwhile. The id does not become known here then:
   * send no cookie.
   *
   * @throws CacheError `ERR_CACHE_REJECTED` if a session with the new id exists
   */
  async rotate(
    id: string,
    newId: string,
    session: T,
    grace: Duration = defaultGrace,
  ): Promise<RotateOutcome> {
    if (!this.rotates) throw new TypeError('Sessions: rotate requires the option rotation.')
    const [newKey, graceMs] = [keyOfId(newId), milliseconds(grace)]
    return this.#inOrder(id, async (key, queue) => {
      const baseline = this.#baselineOf(session, key) ?? (await this.#readBaseline(key, id))
      return this.#writer.rotate({ key, id, baseline, queue }, newKey, graceMs)
    })
  }

  /** Whether a session that was read has another id meanwhile, which only the browser knows. Send no cookie then. */
  hasOtherId(id: string, session: T): boolean {
    const seen = baselineOf(session, this)?.seen
    return seen !== undefined && seen.key !== keyOfId(id)
  }

  /** For how long a session that was read has had its id, in milliseconds. 0 for a new one. */
  ageOfId(session: T): number {
    const rotated = baselineOf(session, this)?.seen?.stored.rotated ?? Number.NaN
    return Number.isNaN(rotated) ? 0 : this.#context.clock.now() - rotated
  }

  /**
   * Ends a session. Accepts the key of a listed session as well. Give the object that was read with the id, if there is
   * one: the session then ends also if it got another id and the backend has lost what leads from this one to it.
   */
  async destroy(id: string, session?: T): Promise<void> {
    const key = sessionKey(id)
    await this.#queues.run(key, async (queue) => {
      const last = queue.last === 'ended' ? undefined : queue.last
      queue.last = 'ended'
      return this.#remover.remove(
        key,
        id,
        last ?? (session && this.#baselineOf(session, key)?.seen),
      )
    })
    publishSession('destroyed', this.#context.cache.name, key)
  }

  /**
   * Lists the sessions of a user, on any backend.
   *
   * @throws TypeError without the option `index`, or for a user that is not a non-empty string or a finite number
   * @example
   * const secret = 'a secret of this application'
   * const byUser = new Sessions({ cache, index: (session) => session['userId'] as number, indexSecret: secret })
   * for (const { key, session } of await byUser.of(7)) console.log(key, session['device'])
   */
  async of(user: string | number): Promise<ListedSession<T>[]> {
    return this.#lister.of(user, this.#indexed())
  }

  /**
   * Ends all sessions of a user, at once and in all processes, except the one with the id `except`. Call it when a
   * password has changed. With `migrateFrom`, sessions that have not been moved end as well.
   *
   * @throws TypeError without the option `index`, or for a user that is not a non-empty string or a finite number
   */
  async destroyAllFor(
    user: string | number,
    { except }: { readonly except?: string | undefined } = {},
  ): Promise<void> {
    await this.#remover.removeAllOf(user, this.#indexed().index, except)
  }

  /**
   * Lists the keys of all sessions. With `rotation`, `migrateFrom` or `index`, this reads them, to leave out old ids and
   * sessions that have ended.
   *
   * @throws CacheError `ERR_CACHE_UNSUPPORTED` if the backend cannot list its keys
   */
  keys(): Promise<string[]> {
    return this.#lister.keys()
  }

  /** Reads all sessions. @throws CacheError `ERR_CACHE_UNSUPPORTED` if the backend cannot list its keys */
  all(): Promise<ListedSession<T>[]> {
    return this.#lister.all()
  }

  /**
   * Ends all sessions. On a backend that cannot list its keys, other processes may read them for up to one second. With
   * `migrateFrom`, the cache that sessions are moved from is cleared as well.
   */
  clear(): Promise<void> {
    return this.#remover.removeAll()
  }

  /**
   * Compares a session with what is stored, as far as that is known. `body` is its JSON without the cookie, and `isDue`
   * whether `update` would store something.
   */
  inspect(session: T): {
    readonly body: string
    readonly isDue: boolean
    save(id: string): Promise<SaveOutcome>
  } {
    const text = toText(session)
    const baseline = baselineOf(session, this)
    const isDue = baseline === undefined || this.#writer.isDue(baseline, text)
    return { body: text.body, isDue, save: (id) => this.#save(id, session, text) }
  }

  /**
   * A session when it was read or stored last: `body` is its JSON without the cookie, which is determined when it is used.
   * `undefined` if it never was.
   */
  storedText(session: T): { readonly body: string } | undefined {
    return baselineOf(session, this)?.view
  }

  /** Whether `body`, of {@link inspect}, is that of a text of {@link storedText}. Faster than to compare them. */
  hasBody(text: { readonly body: string }, body: string): boolean {
    return hasBody(text, body)
  }

  /** The keys of the fields that are as they are in a text of {@link storedText}. */
  unchangedKeys(
    text: { readonly body: string },
    fields: Readonly<Record<string, unknown>>,
  ): string[] {
    return unchangedKeys(fields, text.body, Object.keys(fields))
  }

  /** Gives an object the baseline of a new session: the first `update` stores it only if no session with its id exists. */
  markAsNew(session: T): void {
    this.setBaseline(session, this.#newBaseline())
  }

  /**
   * The lock of a session, for one request at a time. Use `sessionLock` in an application with requests. Give the object
   * that was read with the id, where sessions are rotated: then requests with the old and the new id have the same lock.
   */
  lockOf(id: string, ttl?: Duration, session?: T): Lock {
    const key = keyOfId(id)
    const seen = session && this.#baselineOf(session, key)?.seen
    return this.#context.cache.lock(`session:${seen?.stored.firstKey ?? seen?.key ?? key}`, { ttl })
  }

  /** Gives a session the baseline of the one that was read. */
  setBaseline(session: object, baseline: SessionBaseline): void {
    BaselineField.set(session, this, baseline)
  }

  /** Adds the baseline as a field, which a framework copies with the others, until `takeBaseline` removes it. */
  carryBaseline(session: object, baseline: SessionBaseline): void {
    carryBaseline(session, baseline)
  }

  /** Returns the baseline of a session that was read, and removes the field of `carryBaseline`. */
  takeBaseline(session: object): SessionBaseline | undefined {
    return takeBaseline(session, this)
  }

  #isCookieInStep(baseline: SessionBaseline, cookie: SessionCookie | undefined): boolean {
    if (baseline.view === undefined || baseline.hasEnded) return false
    return !this.#writer.isCookieDue(baseline, cookie ?? baseline.view.cookie)
  }

  #indexed(): SessionUsers {
    const { users } = this.#context
    if (users !== undefined) return users
    throw new TypeError('The sessions of a user are listed only with the option index.')
  }

  #inOrder<R>(id: string, work: (key: string, queue: SessionQueue) => Promise<R>): Promise<R> {
    const key = keyOfId(id)
    return this.#queues.run(key, (queue) => work(key, queue))
  }

  #newBaseline(): SessionBaseline {
    const created = Math.floor(this.#context.clock.now())
    return new SessionBaseline(created)
  }

  async #readBaseline(key: string, id: string): Promise<SessionBaseline> {
    const seen = await this.#reader.read(key, id)
    return new SessionBaseline(this.#newBaseline().created, key, seen)
  }

  /** The baseline of a session; `undefined` if it is that of a session with another id. */
  #baselineOf(session: T, key: string): SessionBaseline | undefined {
    const baseline = baselineOf(session, this)
    return baseline?.isOf(key) ? baseline : undefined
  }
}
