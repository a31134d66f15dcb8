import { Cache } from '@stowage/core'
import { SessionStore } from '@stowage/express'
import { postgres } from '@stowage/postgres'
import connectPgSimple from 'connect-pg-simple'
import session from 'express-session'
import { withStore } from './sessions.mjs'

export function connectPg({ url }) {
  const PgStore = connectPgSimple(session)
  const store = new PgStore({ conString: url, createTableIfMissing: true })
  return withStore(store, () => store.close())
}

/** A logged table, as that of connect-pg-simple is, and a long deadline, so that a busy machine does not end the run. */
export function stowage({ url }) {
  const driver = postgres({ url, logged: true, ensureTable: 'create', timeout: '10s' })
  const cache = new Cache(driver, { prefix: 'session:' })
  return withStore(new SessionStore({ cache }), () => cache.close())
}
