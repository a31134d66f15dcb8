import { setTimeout as sleep } from 'node:timers/promises'
import { ensureTable, type PostgresOptions, postgres } from '@stowage/postgres'
import { type PostgresDatabase, sharedPostgres } from '@stowage/test-servers'
import { conform } from '@stowage/testing'
import { afterAll, beforeAll, describe, test } from 'vitest'

/**
 * Groups whose cases make up to a thousand calls at once. They run alone: the calls of other cases, which have deadlines and
 * leases, would queue behind theirs for a connection.
 */
const manyCalls = /^(atomic|batches|counters|facade|limits|order|sharing|values): /

/** Holds the store to its contract, with a database of its own. */
export function conformTable(
  title: string,
  optionsFor: (server: PostgresDatabase) => PostgresOptions,
): void {
  describe(title, () => {
    let server: PostgresDatabase

    beforeAll(async () => {
      server = await sharedPostgres()
      await ensureTable(optionsFor(server))
    })
    afterAll(() => server.stop())

    // A busy machine takes seconds for thousands of concurrent calls.
    conform(test, () => postgres({ timeout: '2m', ...optionsFor(server) }), {
      wait: async (ms) => sleep(ms),
      concurrent: (name, run) => (manyCalls.test(name) ? test : test.concurrent)(name, run),
      sharedBackend: true,
    })
  })
}
