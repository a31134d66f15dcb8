import { setTimeout as sleep } from 'node:timers/promises'
import { ensureTable, postgres } from '@stowage/postgres'
import { type PostgresServer, startPostgres } from '@stowage/test-servers'
import { conform } from '@stowage/testing'
import { afterAll, beforeAll, describe, test } from 'vitest'

describe('a server that is frozen', () => {
  let server: PostgresServer

  beforeAll(async () => {
    server = await startPostgres()
    await ensureTable({ url: server.url })
  })
  afterAll(() => server.stop())

  // A connection takes up to a second on a machine with other work.
  conform(test, () => postgres({ url: server.url, timeout: '1500ms' }), {
    wait: async (ms) => sleep(ms),
    groups: ['outage'],
    sharedBackend: true,
    breakBackend: () => server.kill('SIGSTOP'),
    restoreBackend: () => server.kill('SIGCONT'),
    // A call waits for an earlier one of its key, and then for the server.
    deadlineMs: 8_000,
  })
})
