/**
 * Interface: `session.store` of express-openid-connect 3 (tested with 3.4), and its store for back-channel logout.
 *
 * Cannot: keep a user logged in if the read of a session fails, because the library takes that for a request without one, and
 * clears its cookie. Failures are passed to the callback as their `CacheError`: after a failed write, the error handlers of
 * the application respond.
 */
import {
  type AnySessions,
  checkSessions,
  EndedSessions,
  put,
  read,
  save,
} from './support/sessions.ts'

/** What the library stores, with times in epoch seconds. A mark of back-channel logout is a cookie only. */
interface Payload<D> {
  /** `iat` is the beginning of the session, and `uat` its last request. */
  header: { iat: number; uat: number; exp: number }
  data: D
  cookie: {
    /** In epoch milliseconds. */
    expires: number
    maxAge: number
  }
}

/** What is stored of the times, besides the data. */
interface TimedCookie {
  /** An ISO date. */
  readonly expires: string
  readonly iat: number
  /** For how long the session lasts without a request, in seconds. */
  readonly idle: number
}

/** Of a mark, which has no header. */
const none = { iat: 0, uat: 0, exp: 0 }

type Callback<T = void> = (error: unknown, result?: T) => void

/** What the library calls. */
export interface OpenidSessionStore<D> {
  get(id: string, callback: Callback<Payload<D> | null>): void
  set(id: string, payload: Payload<D>, callback?: Callback): void
  destroy(id: string, callback?: Callback): void
}

/**
 * Returns the store of the sessions of `auth`. Changes of different keys of a session are merged, and a request that changes
 * nothing only moves the expiry, and that rarely.
 *
 * @example
 * import { auth } from 'express-openid-connect'
 *
 * app.use(auth({ session: { store: openidSessionStore(new Sessions({ cache })) } }))
 */
export function openidSessionStore<D extends object>(sessions: AnySessions): OpenidSessionStore<D> {
  checkSessions('openidSessionStore', sessions)
  const endings = new EndedSessions(sessions)
  /** By the data of a session that was read. A login stores them under another id. */
  const idOf = new WeakMap<object, string>()
  return {
    get(id, callback) {
      settle(readPayload<D>(sessions, id, idOf), callback)
    },
    set(id, payload, callback) {
      settle(write(sessions, id, payload, idOf, endings), callback)
    },
    destroy(id, callback) {
      settle(endings.destroy(id), callback)
    },
  }
}

async function readPayload<D extends object>(
  sessions: AnySessions,
  id: string,
  idOf: WeakMap<object, string>,
): Promise<Payload<D> | null> {
  let times: Omit<Payload<never>, 'data'> | undefined
  const data = await read(sessions, id, ({ fields, cookie }) => {
    // Another library has stored a session without one.
    times = cookie && timesOf(cookie as unknown as TimedCookie)
    return { ...fields } as D
  })
  if (data === undefined || times === undefined) return null
  idOf.set(data, id)
  return { data, ...times }
}

/** The library passes the data of `get` again, or those of a new session after a login. */
async function write(
  sessions: AnySessions,
  id: string,
  payload: Partial<Payload<object>>,
  idOf: WeakMap<object, string>,
  endings: EndedSessions,
): Promise<void> {
  const { data = {}, header: { iat, uat, exp } = none, cookie } = payload
  const encoded = {
    fields: data as Record<string, unknown>,
    cookie: {
      expires: new Date(cookie?.expires ?? Number.NaN).toISOString(),
      iat,
      idle: exp - uat,
    },
  }
  const isKnown = sessions.storedText(data) !== undefined
  const known = { id: idOf.get(data) ?? id, session: data }
  const toStore = endings.toStore(known, id, encoded)
  await (isKnown ? save : put)(sessions, id, data, toStore.encoded)
}

/** `uat` moves with each request. It follows from the expiry, which is stored only if it has moved enough. */
function timesOf({ expires, iat, idle }: TimedCookie): Omit<Payload<never>, 'data'> {
  const end = new Date(expires).getTime()
  const exp = Math.floor(end / 1_000)
  return {
    header: { iat, uat: exp - idle, exp },
    cookie: { expires: end, maxAge: end - Date.now() },
  }
}

function settle<T>(work: Promise<T>, callback: Callback<T> | undefined): void {
  work.then(
    (result) => callback && process.nextTick(callback, null, result),
    (error: unknown) => callback && process.nextTick(callback, error),
  )
}
