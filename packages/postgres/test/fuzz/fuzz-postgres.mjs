import { ensureTable, postgres } from '@stowage/postgres'
import { startPostgres } from '@stowage/test-servers'
import pg from 'pg'
import { fuzzStore } from '../../../../test/fuzz/fuzz-store.mjs'

const maxConnections = 4

/**
 * The table is logged: a counter that is lower after a crash than what was acknowledged is a wrong result.
 * @param {number} ms
 * @returns {Promise<import('../../../../test/fuzz/fuzz-store.mjs').FuzzResult>}
 */
export async function fuzzPostgres(ms) {
  const server = await startPostgres({ settings: { synchronous_commit: 'on' } })
  await ensureTable({ url: server.url, logged: true })
  const createStore = (/** @type {{ port: number }} */ { port }) =>
    postgres({
      url: server.url.replace(`:${server.port}`, `:${port}`),
      logged: true,
      timeout: '300ms',
      maxConnections,
      sweepInterval: '1s',
    })
  const faults = [() => server.restart(), () => endSessions(server.url)]
  return fuzzStore(ms, server, createStore, { faults, maxConnections })
}

/** What an administrator does. @param {string} url */
async function endSessions(url) {
  const client = new pg.Client(url)
  await client.connect()
  await client.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'stowage'`)
  await client.end()
}
