import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { ensureTable } from '@stowage/postgres'
import { isFullTier, sharedPostgres } from '@stowage/test-servers'
import pg from 'pg'
import { expect, test } from 'vitest'

const execute = promisify(execFile)
const script = fileURLToPath(new URL('processes/random-batches.mjs', import.meta.url))
const [processes, calls] = isFullTier ? [4, 250_000] : [2, 4_000]

test(`${processes} processes with ${calls} batched calls each do not block each other`, async () => {
  const server = await sharedPostgres()
  const options = { url: server.url }
  await ensureTable(options)
  const runs = Array.from({ length: processes }, () =>
    execute(process.execPath, [script, JSON.stringify(options), `${calls}`]),
  )
  for (const { stdout } of await Promise.all(runs)) {
    expect(JSON.parse(stdout)).toEqual({ failures: {} })
  }
  const client = new pg.Client(server.url)
  await client.connect()
  const { rows } = await client.query(
    'SELECT sum(deadlocks)::int AS deadlocks FROM pg_stat_database WHERE datname = current_database()',
  )
  expect(rows).toEqual([{ deadlocks: 0 }])
  await client.end()
  await server.stop()
}, 600_000)
