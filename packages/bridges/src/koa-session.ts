/**
 * Interface: `store` of koa-session 7 (tested with 7.0).
 *
 * Cannot: merge changes of requests whose application replaces `ctx.session` by an object without the fields of others. A
 * session without a lifetime (`maxAge: 'session'`) has that of `Sessions`. Failures reject with their `CacheError`, so that
 * the request fails before its response is sent.
 */
import {
  type AnySessions,
  checkSessions,
  EndedSessions,
  type KnownSession,
  type OtherSession,
  read,
} from './support/sessions.ts'

/** The library keeps sessions this much longer than their cookies, in milliseconds. */
const longerThanCookie = 10_000

interface CallOptions {
  /** The context of the request, which the library always passes, although its types say otherwise. */
  readonly ctx?: object
}

/** A session as the library stores it: the application's fields, and its own. */
type KoaSession = Record<string, unknown> & { _expire?: number; _maxAge?: number; _session?: true }

/** What the library calls. */
export interface KoaSessionStore {
  get(id: string, lifetime: unknown, options: CallOptions): Promise<KoaSession | undefined>
  set(id: string, session: KoaSession, lifetime: unknown, options: CallOptions): Promise<void>
  destroy(id: string, options: CallOptions): Promise<void>
}

/**
 * Returns the store of a koa-session. Sessions have the lifetime of their cookie. A request that changes nothing only moves the
 * expiry, and that rarely, also with `rolling`.
 *
 * @example
 * import Koa from 'koa'
 * import session from 'koa-session'
 *
 * const app = new Koa()
 * app.keys = [sessionSecret(process.env)].flat()
 * app.use(session({ store: koaSessionStore(new Sessions({ cache })), maxAge: 3_600_000 }, app))
 */
export function koaSessionStore(sessions: AnySessions): KoaSessionStore {
  checkSessions('koaSessionStore', sessions)
  /** What each request has read or put. It stores a copy. */
  const ofRequest = new WeakMap<object, KnownSession>()
  const endings = new EndedSessions(sessions)
  return {
    async get(id, _lifetime, { ctx = {} }) {
      const session = await read(sessions, id, decode)
      if (session !== undefined) ofRequest.set(ctx, { id, session })
      return session
    },
    async set(id, session, lifetime, { ctx = {} }) {
      const known = ofRequest.get(ctx)
      ofRequest.set(ctx, await endings.store(known, id, session, encode(session, lifetime)))
    },
    async destroy(id) {
      await endings.destroy(id)
    },
  }
}

/** The expiry moves with each request. As that of a cookie, it is stored only if it has moved enough. */
function encode(
  { _expire, _maxAge, _session, ...fields }: KoaSession,
  lifetime: unknown,
): OtherSession {
  if (typeof lifetime !== 'number') return { fields, cookie: undefined }
  const expires = new Date((_expire ?? Number.NaN) + longerThanCookie)
  return { fields, cookie: { originalMaxAge: lifetime, expires: expires.toISOString() } }
}

function decode({ fields, cookie }: OtherSession): KoaSession {
  const { originalMaxAge, expires } = cookie ?? {}
  if (!originalMaxAge || !expires) return { ...fields, _session: true }
  return {
    ...fields,
    _expire: new Date(expires).getTime() - longerThanCookie,
    _maxAge: originalMaxAge - longerThanCookie,
  }
}
