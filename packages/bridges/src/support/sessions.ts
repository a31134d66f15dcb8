import type { Sessions } from '@stowage/sessions'
import { sessionKey } from '@stowage/sessions/tools'

/** Sessions of any application. */
// biome-ignore lint/suspicious/noExplicitAny: `Sessions` is invariant in the type of a session
export type AnySessions = Sessions<any>

/** @throws TypeError also for a cache, which other bridges take */
export function checkSessions(bridge: string, sessions: unknown): void {
  const { readWithBaseline } = Object(sessions) as { readonly readWithBaseline?: unknown }
  if (typeof readWithBaseline === 'function') return
  throw new TypeError(
    `${bridge}: the first argument must be Sessions, such as new Sessions({ cache }).`,
  )
}

type Fields = Readonly<Record<string, unknown>>

/** What `Sessions` stores, besides the fields: from the cookie, it takes the lifetime of a session. */
interface StoredCookie {
  readonly originalMaxAge?: number | null
  readonly expires?: string | Date | null
}

/** A session of another library, which may have any key. */
export interface OtherSession {
  readonly fields: Fields
  readonly cookie: (StoredCookie & Fields) | undefined
}

/** Keys that `Sessions` reserves, and those that begin like an escaped one. */
const reserved = /^(?::|cookie$|~$|__proto__$)/

/** A session as `Sessions` stores it: each field by itself, so that changes of different fields are merged. */
function toStored({ fields, cookie }: OtherSession): Record<string, unknown> {
  const entries = Object.entries(fields).map(
    ([key, value]) => [reserved.test(key) ? `:${key}` : key, value] as const,
  )
  return { ...Object.fromEntries(entries), ...(cookie && { cookie }) }
}

/** The opposite of {@link toStored}. */
function fromStored({ cookie, ...stored }: Record<string, unknown>): OtherSession {
  const entries = Object.entries(stored).map(
    ([key, value]) => [key.startsWith(':') ? key.slice(1) : key, value] as const,
  )
  return { fields: Object.fromEntries(entries), cookie: cookie as OtherSession['cookie'] }
}

/** Reads a session as `decode` returns it. That object has what was read as its baseline, for {@link save}. */
export async function read<S extends object>(
  sessions: AnySessions,
  id: string,
  decode: (stored: OtherSession) => S,
): Promise<S | undefined> {
  const found = await sessions.readWithBaseline(id)
  if (found === undefined) return undefined
  const session = decode(fromStored(found.session))
  sessions.setBaseline(session, found.baseline)
  return session
}

/** Stores a new session, whatever is stored under its id, and gives the object its baseline. */
export async function put(
  sessions: AnySessions,
  id: string,
  session: object,
  encoded: OtherSession,
): Promise<void> {
  const stored = toStored(encoded)
  await sessions.update(id, stored)
  moveBaseline(sessions, stored, session)
}

/**
 * Stores a session that was read or put: its changes, if the object has a baseline, and else all of it. Returns whether it
 * still exists: a session that has ended is not stored again.
 */
export async function save(
  sessions: AnySessions,
  id: string,
  session: object,
  encoded: OtherSession,
): Promise<boolean> {
  const stored = toStored(encoded)
  if (sessions.storedText(session) !== undefined) moveBaseline(sessions, session, stored)
  else {
    const found = await sessions.readWithBaseline(id)
    if (found === undefined) return false
    sessions.setBaseline(stored, found.baseline)
  }
  const outcome = await sessions.update(id, stored)
  moveBaseline(sessions, stored, session)
  return outcome !== 'dropped'
}

/**
 * Ends a session, by the id that a browser has sent. The key of a session, which events contain, is not an id: `destroy`
 * would accept it.
 */
export async function end(sessions: AnySessions, id: string, session?: object): Promise<void> {
  if (sessionKey(id) !== id) await sessions.destroy(id, session)
}

function moveBaseline(sessions: AnySessions, from: object, to: object): void {
  const baseline = sessions.takeBaseline(from)
  if (baseline !== undefined) sessions.setBaseline(to, baseline)
}

/** Ids that are kept until other requests need the space. Each is one of a race. */
const maxIds = 1_000

/** A session that a request has read or put, under its id. */
export interface KnownSession {
  readonly id: string
  readonly session: object
  /** The session that it was under another id, if that had ended before it got this one. */
  readonly ended?: object | undefined
}

/**
 * Ends sessions for libraries that give a session another id: they delete it, and store its fields as a new session. It may
 * have ended between the read and that, by a logout, which the new session must not undo.
 */
export class EndedSessions {
  readonly #sessions: AnySessions
  /** Of sessions that had ended before they were destroyed here. */
  readonly #ids = new Set<string>()

  constructor(sessions: AnySessions) {
    this.#sessions = sessions
  }

  /** @param session the object that was read with the id, if there is one */
  async destroy(id: string, session?: object): Promise<void> {
    const found = await this.#sessions.readAgain(id)
    await end(this.#sessions, id, session)
    if (found !== undefined) return
    this.#ids.add(id)
    const [oldest] = this.#ids
    if (this.#ids.size > maxIds) this.#ids.delete(oldest as string)
  }

  /**
   * Stores the session that a request has read or put, or under another id what it has become. Resolves to what the request
   * knows then.
   */
  async store(
    known: KnownSession | undefined,
    id: string,
    session: object,
    encoded: OtherSession,
  ): Promise<KnownSession> {
    const stored = this.toStore(known, id, encoded)
    if (known?.id === id) {
      await save(this.#sessions, id, known.session, stored.encoded)
      return known
    }
    // A session that the request has not read is new, or has another id since the request has changed it.
    await put(this.#sessions, id, session, stored.encoded)
    return { id, session, ended: stored.ended }
  }

  /**
   * Returns what a request that has read `known` stores under `id`, and the session that it was before, if that has ended: what
   * the request has not changed of it is left out.
   */
  toStore(
    known: KnownSession | undefined,
    id: string,
    encoded: OtherSession,
  ): { encoded: OtherSession; ended?: object } {
    const ended = known && this.#endedOf(known, id)
    const text = ended && this.#sessions.storedText(ended)
    if (ended === undefined || text === undefined) return { encoded }
    const stored = toStored(encoded)
    for (const key of this.#sessions.unchangedKeys(text, stored)) delete stored[key]
    return { encoded: fromStored({ ...stored, cookie: encoded.cookie }), ended }
  }

  #endedOf(known: KnownSession, id: string): object | undefined {
    if (known.id === id) return known.ended
    return this.#ids.has(known.id) ? known.session : undefined
  }
}
