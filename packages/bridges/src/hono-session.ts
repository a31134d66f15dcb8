/**
 * Interface: the storage of `@hono/session` 0.2 (tested with 0.2.1), which awaits neither `set` nor `delete`.
 *
 * Cannot: store a session before the response is sent, or make a request fail if that fails, because the library does not
 * wait. Sessions have the lifetime of `Sessions`: give it that of the option `duration`. A failed read rejects with its
 * `CacheError`. A failed `set` or `delete` is an event of the channel `stowage:error`: a rejection would end the process.
 */
import { publishError } from '@stowage/core/internal'
import { sessionKey } from '@stowage/sessions/tools'
import { type AnySessions, checkSessions, end, put, read, save } from './support/sessions.ts'

/** What the library calls. */
export interface HonoSessionStorage<T> {
  get(id: string): Promise<T | null>
  set(id: string, session: T): void
  delete(id: string): void
}

/**
 * Returns what `useSessionStorage` calls for the storage of a request.
 *
 * @example
 * import { useSession, useSessionStorage } from '@hono/session'
 * import { Hono } from 'hono'
 *
 * const app = new Hono()
 * app.use(useSessionStorage(honoSessionStorage(new Sessions({ cache }))), useSession())
 */
export function honoSessionStorage<T extends Record<string, unknown>>(
  sessions: AnySessions,
): () => HonoSessionStorage<T> {
  checkSessions('honoSessionStorage', sessions)
  return () => storageOfRequest(sessions)
}

function storageOfRequest<T extends Record<string, unknown>>(
  sessions: AnySessions,
): HonoSessionStorage<T> {
  /** What the request has read, because the library stores another object. */
  const known = new Map<string, object>()
  const write = (id: string, session: T) => {
    const encoded = { fields: session, cookie: undefined }
    const original = known.get(id)
    // A session that the request has not read is new: the library gives it another id.
    return original === undefined
      ? put(sessions, id, session, encoded)
      : save(sessions, id, original, encoded)
  }
  return {
    async get(id) {
      const session = await read(sessions, id, ({ fields }) => ({ ...fields }) as T)
      if (session !== undefined) known.set(id, session)
      return session ?? null
    },
    set(id, session) {
      report(sessions, id, write(id, session))
    },
    delete(id) {
      report(sessions, id, end(sessions, id))
    },
  }
}

/** Publishes a failure that nobody awaits. One of the backend has also been published by the call of the cache. */
function report(sessions: AnySessions, id: string, writing: Promise<unknown>): void {
  const { name, driver } = sessions.cache
  writing.catch((error: unknown) => {
    // An option `generateId` may return what is not an id.
    const key = typeof id === 'string' && id !== '' ? sessionKey(id) : ''
    publishError({ cache: name, store: driver, key }, error)
  })
}
