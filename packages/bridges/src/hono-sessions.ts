/**
 * Interface: `store` of hono-sessions 0.8 (tested with 0.8.1).
 *
 * Cannot: keep the cookie of a session whose read failed, because the library takes that for a request without one; leave out
 * requests without a session, for each of which the library stores one: bound them with `index` and `maxAnonymous` of
 * `Sessions`. A session without an expiry has the lifetime of `Sessions`. Failures reject with their `CacheError`.
 */
import {
  type AnySessions,
  checkSessions,
  EndedSessions,
  type OtherSession,
  put,
  read,
  save,
} from './support/sessions.ts'

/** A value of the application, and whether its first read deletes it. */
interface Entry {
  // biome-ignore lint/suspicious/noExplicitAny: the type of the library
  value: any
  flash: boolean
}

/** A session as the library stores it. */
interface HonoSession {
  /** Its id, which is not stored: the backend has a digest of it only. */
  _id?: string
  _data: Record<string, Entry>
  /** An ISO date. */
  _expire: string | null
  _delete: boolean
  /** Changes with each request, and is read by none. It is not stored. */
  _accessed: string | null
}

/** What the library calls. */
export interface HonoSessionsStore {
  getSessionById(id?: string): Promise<HonoSession | null>
  createSession(id: string, session: HonoSession): Promise<void>
  persistSessionData(id: string, session: HonoSession): Promise<void>
  deleteSession(id: string): Promise<void>
}

/**
 * Returns the store of a `sessionMiddleware`. Changes of different keys of a session are merged, and a request that changes
 * nothing only moves the expiry, and that rarely.
 *
 * @example
 * import { Hono } from 'hono'
 * import { sessionMiddleware } from 'hono-sessions'
 *
 * const app = new Hono()
 * const store = honoSessionsStore(new Sessions({ cache }))
 * app.use(sessionMiddleware({ store, expireAfterSeconds: 3_600 }))
 */
export function honoSessionsStore(sessions: AnySessions): HonoSessionsStore {
  checkSessions('honoSessionsStore', sessions)
  const endings = new EndedSessions(sessions)
  return {
    async getSessionById(id) {
      return (id && (await read(sessions, id, decode))) || null
    },
    async createSession(id, session) {
      // One that was read keeps its id as a field when it gets another one.
      const known = { id: session._id ?? id, session }
      const { encoded } = endings.toStore(known, id, encode(session))
      await put(sessions, id, session, encoded)
    },
    async persistSessionData(id, session) {
      await save(sessions, id, session, encode(session))
    },
    async deleteSession(id) {
      await endings.destroy(id)
    },
  }
}

function encode({ _data, _expire }: HonoSession): OtherSession {
  return { fields: _data, cookie: _expire === null ? undefined : { expires: _expire } }
}

function decode({ fields, cookie }: OtherSession): HonoSession {
  const _expire = cookie?.expires ? new Date(cookie.expires).toISOString() : null
  return { _data: { ...fields } as Record<string, Entry>, _expire, _delete: false, _accessed: null }
}
