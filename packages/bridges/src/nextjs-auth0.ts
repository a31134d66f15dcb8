/**
 * Interface: `SessionDataStore` of `@auth0/nextjs-auth0` 4 (tested with 4.30), with `update` and `deleteByLogoutToken`.
 *
 * Cannot: know the lifetime of sessions, which the library does not pass: give `Sessions` the same `idleTimeout` and
 * `absoluteTimeout` as `inactivityDuration` and `absoluteDuration`. Keep the cookie of a session whose read failed, because
 * the library takes that for a request without one. Failures reject with their `CacheError`.
 */
import type { SessionBaseline, Sessions } from '@stowage/sessions'
import { type AnySessions, checkSessions } from './support/sessions.ts'

/** Survives a copy of the session, and is left out by `JSON.stringify`. */
const baselineKey: unique symbol = Symbol('stowage.baseline')

interface Auth0Session {
  readonly user: { readonly sub: string }
  readonly internal: { readonly sid: string; readonly mcd?: { readonly issuer: string } }
  [baselineKey]?: unknown
}

interface LogoutToken {
  readonly sub?: string
  readonly sid?: string
  readonly iss?: string
}

/** What the library calls. */
export interface Auth0SessionStore<S> {
  get(id: string): Promise<S | null>
  set(id: string, session: S): Promise<void>
  update(id: string, session: S): Promise<boolean>
  delete(id: string): Promise<void>
  deleteByLogoutToken(token: LogoutToken): Promise<void>
}

/**
 * Returns the session store of an `Auth0Client`. For back-channel logout, the sessions need the option `index` with the user:
 * `index: ({ user }) => user.sub`.
 *
 * @example
 * import { Auth0Client } from '@auth0/nextjs-auth0/server'
 * import type { SessionData } from '@auth0/nextjs-auth0/types'
 *
 * const sessions = new Sessions<SessionData>({ cache, idleTimeout: '1d', absoluteTimeout: '3d' })
 * const auth0 = new Auth0Client({ sessionStore: auth0SessionStore(sessions) })
 */
export function auth0SessionStore<S extends Auth0Session>(
  sessions: Sessions<S>,
): Auth0SessionStore<S> {
  checkSessions('auth0SessionStore', sessions)
  return {
    async get(id) {
      const found = await sessions.readWithBaseline(id)
      if (found === undefined) return null
      return Object.assign(found.session, { [baselineKey]: found.baseline })
    },
    async set(id, session) {
      await sessions.update(id, session)
    },
    async update(id, session) {
      const baseline =
        (session[baselineKey] as SessionBaseline | undefined) ?? (await baselineOf(sessions, id))
      if (baseline === undefined) return false
      sessions.setBaseline(session, baseline)
      return (await sessions.update(id, session)) !== 'dropped'
    },
    async delete(id) {
      await sessions.destroy(id)
    },
    async deleteByLogoutToken(token) {
      if (token.sub === undefined) throw new TypeError(noSubject)
      const listed = await sessions.of(token.sub)
      const ended = listed.filter(({ session }) => isMeant(session, token))
      await Promise.all(ended.map(({ key }) => sessions.destroy(key)))
    },
  }
}

const noSubject =
  'A logout token without "sub" cannot be applied: sessions are listed by user. Configure the issuer to send it.'

/** For a session that the application has made anew: it replaces the stored one, if that has not ended. */
async function baselineOf(sessions: AnySessions, id: string): Promise<SessionBaseline | undefined> {
  return (await sessions.readWithBaseline(id))?.baseline
}

function isMeant({ internal }: Auth0Session, { sid, iss }: LogoutToken): boolean {
  const issuer = internal.mcd?.issuer
  return (
    (sid === undefined || sid === internal.sid) &&
    (issuer === undefined || iss === undefined || iss === issuer)
  )
}
