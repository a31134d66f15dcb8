import type { Sessions } from '@stowage/sessions'
import { sessionKey } from '@stowage/sessions/tools'

/** Sessions of any application. */
// biome-ignore lint/suspicious/noExplicitAny: `Sessions` is invariant in the type of a session
export type AnySessions = Sessions<any>

type Fields = Readonly<Record<string, unknown>>

/** What `Sessions` stores, besides the fields: from the cookie, it takes the lifetime of a session. */
export interface StoredCookie {
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
export function toStored({ fields, cookie }: OtherSession): Record<string, unknown> {
  const entries = Object.entries(fields).map(
    ([key, value]) => [reserved.test(key) ? `:${key}` : key, value] as const,
  )
  return { ...Object.fromEntries(entries), ...(cookie && { cookie }) }
}

/** The opposite of {@link toStored}. */
export function fromStored({ cookie, ...stored }: Record<string, unknown>): OtherSession {
  const entries = Object.entries(stored).map(
    ([key, value]) => [key.startsWith(':') ? key.slice(1) : key, value] as const,
  )
  return { fields: Object.fromEntries(entries), cookie: cookie as OtherSession['cookie'] }
}

/** Reads a session as `decode` returns it. That object is marked with what was read, for {@link save}. */
export async function read<S extends object>(
  sessions: AnySessions,
  id: string,
  decode: (stored: OtherSession) => S,
): Promise<S | undefined> {
  const found = await sessions.readWithMark(id)
  if (found === undefined) return undefined
  const session = decode(fromStored(found.session))
  sessions.setMark(session, found.mark)
  return session
}

/** Stores a new session, whatever is stored under its id, and marks the object. */
export async function put(
  sessions: AnySessions,
  id: string,
  session: object,
  encoded: OtherSession,
): Promise<void> {
  const stored = toStored(encoded)
  await sessions.update(id, stored)
  moveMark(sessions, stored, session)
}

/**
 * Stores a session that was read or put: its changes, if the object is marked, and else all of it. Returns whether it
 * still exists: a session that has ended is not stored again.
 */
export async function save(
  sessions: AnySessions,
  id: string,
  session: object,
  encoded: OtherSession,
): Promise<boolean> {
  const stored = toStored(encoded)
  if (sessions.storedText(session) !== undefined) moveMark(sessions, session, stored)
  else {
    const found = await sessions.readWithMark(id)
    if (found === undefined) return false
    sessions.setMark(stored, found.mark)
  }
  const outcome = await sessions.update(id, stored)
  moveMark(sessions, stored, session)
  return outcome !== 'dropped'
}

/**
 * Ends a session, by the id that a browser has sent. The key of a session, which events contain, is not an id: `destroy`
 * would accept it.
 */
export async function end(sessions: AnySessions, id: string, session?: object): Promise<void> {
  if (sessionKey(id) !== id) await sessions.destroy(id, session)
}

function moveMark(sessions: AnySessions, from: object, to: object): void {
  const mark = sessions.takeMark(from)
  if (mark !== undefined) sessions.setMark(to, mark)
}
