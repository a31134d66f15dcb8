import { setTimeout as sleep } from 'node:timers/promises'
import { ensureTable, type PostgresOptions, postgres } from '@stowage/postgres'
import { type PostgresDatabase, sharedPostgres } from '@stowage/test-servers'
import { conform } from '@stowage/testing'
import { afterAll, beforeAll, describe, test } from 'vitest'

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
      concurrent: test.concurrent,
      sharedBackend: true,
    })
  })
}
