import { setTimeout as sleep } from 'node:timers/promises'
import { ensureTable, postgres } from '@stowage/postgres'
import {
  type FaultProxy,
  type PostgresDatabase,
  sharedPostgres,
  startProxy,
} from '@stowage/test-servers'
import { conform } from '@stowage/testing'
import { afterAll, beforeAll, describe, test } from 'vitest'

describe('a server that is frozen', () => {
  let database: PostgresDatabase
  let proxy: FaultProxy
  let url: string

  beforeAll(async () => {
    database = await sharedPostgres()
    await ensureTable({ url: database.url })
    const through = new URL(database.url)
    proxy = await startProxy(Number(through.port))
    through.port = `${proxy.port}`
    url = through.href
  })
  afterAll(async () => {
    await proxy.stop()
    await database.stop()
  })

  // A connection takes up to a second on a machine with other work.
  conform(test, () => postgres({ url, timeout: '1500ms' }), {
    wait: async (ms) => sleep(ms),
    groups: ['outage'],
    sharedBackend: true,
    breakBackend: () => proxy.mute(true),
    restoreBackend: () => proxy.mute(false),
    // A call waits for an earlier one of its key, and then for the server.
    deadlineMs: 8_000,
  })
})
