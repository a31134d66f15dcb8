/**
 * Interface: `createSessionStorage` of React Router 7 and 8 (tested with 7.18 and 8.5), and of Remix 2.
 *
 * Cannot: merge the changes of two requests, because the library returns no more than the data of a session: the later request
 * replaces them. Failures reject with their `CacheError`, so that the request fails.
 */
import { randomBytes } from 'node:crypto'
import {
  type AnySessions,
  checkSessions,
  end,
  type OtherSession,
  put,
  read,
  save,
} from './support/sessions.ts'

type Data = Record<string, unknown>

/** What the library calls, without a `this`. */
export interface SessionStrategy<D> {
  createData(data: D, expires?: Date): Promise<string>
  readData(id: string): Promise<D | null>
  updateData(id: string, data: D, expires?: Date): Promise<void>
  deleteData(id: string): Promise<void>
}

/**
 * Returns the functions for `createSessionStorage`. A session that has ended is not stored again by a slower request.
 *
 * @example
 * import { createSessionStorage } from 'react-router'
 *
 * const cookie = { name: '__session', secrets: [sessionSecret(process.env)].flat(), maxAge: 3_600 }
 * const strategy = sessionStrategy(new Sessions({ cache }))
 * const { getSession, commitSession, destroySession } = createSessionStorage({ cookie, ...strategy })
 */
export function sessionStrategy<D extends object = Data>(
  sessions: AnySessions,
): SessionStrategy<D> {
  checkSessions('sessionStrategy', sessions)
  return {
    async createData(data, expires) {
      const id = randomBytes(24).toString('base64url')
      await put(sessions, id, {}, encode(data, expires))
      return id
    },
    async readData(id) {
      return (await read(sessions, id, ({ fields }) => fields as D)) ?? null
    },
    async updateData(id, data, expires) {
      await save(sessions, id, {}, encode(data, expires))
    },
    async deleteData(id) {
      // The library also destroys sessions that were never stored.
      if (id !== '') await end(sessions, id)
    },
  }
}

/** Without an expiry, a session has the lifetime of `Sessions`. */
function encode(data: object, expires: Date | undefined): OtherSession {
  return { fields: data as Data, cookie: expires && { expires: expires.toISOString() } }
}
