/**
 * Interface: the stores of @adonisjs/session 7 and 8 (tested with 7.7 and 8.1).
 *
 * Cannot: tag a session with a user (`session.tag`): the option `index` of `Sessions` lists the sessions of a user. With
 * `clearWithBrowser` and an `age` that is a text, sessions have the lifetime of `Sessions`. Failures reject with their
 * `CacheError`, so that the request fails.
 */
import {
  type AnySessions,
  checkSessions,
  EndedSessions,
  type KnownSession,
  type OtherSession,
  read,
} from './support/sessions.ts'

/** What is used of the configuration of the library. */
interface AdonisSessionConfig {
  /** In seconds, or as a text such as `'2 hours'`. */
  readonly age: string | number
  /** Has the `age` in seconds as its `maxAge`, unless the cookie ends with the browser. */
  readonly cookie: object
}

/** What the library calls. */
export interface AdonisSessionStore {
  read(id: string): Promise<Record<string, never> | null>
  write(id: string, data: Readonly<Record<string, unknown>>): Promise<void>
  destroy(id: string): Promise<void>
  touch(id: string): Promise<void>
}

/**
 * Returns a store for the `stores` of `defineConfig`. Sessions have the lifetime of their cookie. A request that changes nothing
 * only moves the expiry, and that rarely.
 *
 * @example
 * import { defineConfig } from '@adonisjs/session'
 *
 * const stowage = adonisSessionStore(new Sessions({ cache }))
 * const config = defineConfig({ store: 'stowage', stores: { stowage } })
 */
export function adonisSessionStore(
  sessions: AnySessions,
): (context: unknown, config: AdonisSessionConfig) => AdonisSessionStore {
  checkSessions('adonisSessionStore', sessions)
  return (_context, config) => storeOfRequest(sessions, lifetimeOf(config))
}

function storeOfRequest(sessions: AnySessions, lifetime: number | undefined): AdonisSessionStore {
  /** What the request has read or put. The library changes this object, or passes another one. */
  let known: KnownSession | undefined
  const endings = new EndedSessions(sessions)
  const sessionOf = (id: string) => (known?.id === id ? known.session : undefined)
  return {
    async read(id) {
      const session = await read(sessions, id, ({ fields }) => fields as Record<string, never>)
      known = session && { id, session }
      return session ?? null
    },
    async write(id, data) {
      known = await endings.store(known, id, data, encode(data, lifetime))
    },
    async destroy(id) {
      await endings.destroy(id, sessionOf(id))
    },
    async touch(id) {
      const session = sessionOf(id)
      if (session !== undefined) await sessions.touch(id, session)
    },
  }
}

/** In milliseconds; `undefined` is that of `Sessions`. */
function lifetimeOf({ age, cookie }: AdonisSessionConfig): number | undefined {
  const { maxAge }: { maxAge?: unknown } = cookie
  const seconds = [maxAge, age].find((each) => typeof each === 'number')
  return seconds && seconds * 1_000
}

function encode(fields: OtherSession['fields'], lifetime: number | undefined): OtherSession {
  if (lifetime === undefined) return { fields, cookie: undefined }
  const expires = new Date(Date.now() + lifetime).toISOString()
  return { fields, cookie: { originalMaxAge: lifetime, expires } }
}
