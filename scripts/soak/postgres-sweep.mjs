// Calls at a steady rate, with and without the sweep of expired rows, in turns: npm run soak -- postgres-sweep [rows] [seconds]
import { setTimeout as sleep } from 'node:timers/promises'
import { ensureTable, postgres } from '@stowage/postgres'
import { startPostgres } from '@stowage/test-servers'
import pg from 'pg'
import { UserError } from '../lib/cli.mjs'

const callsPerSecond = 1_000
const turnMs = 10_000
const maxGrowthMs = 5
const keys = Array.from({ length: 1_000 }, (_, index) => `live:${index}`)
const value = 'x'.repeat(200)

/**
 * Ends when the sweep has deleted all rows, or after so many seconds.
 * @param {string[]} args
 * @returns {Promise<number>} exit code
 */
export async function soak(args) {
  const [rows = 1_000_000, seconds = 3_600, ...more] = args.map(Number)
  if (!(rows > 0) || !(seconds > 0) || more.length > 0) {
    throw new UserError('Usage: npm run soak -- postgres-sweep [rows] [seconds]')
  }
  const server = await startPostgres({ settings: { shared_buffers: '128MB' } })
  const admin = new pg.Client(server.url)
  await admin.connect()
  const store = openStore(server.url, '20d')
  try {
    await prepare(server.url, admin, store, rows)
    const turns = []
    const end = performance.now() + seconds * 1_000
    let left = rows
    while (left > 0 && performance.now() < end) {
      const calm = await callSteadily(store)
      const sweeper = openStore(server.url, 50)
      await sweeper.set('sweeper', '1')
      const sweeping = await callSteadily(store)
      await sweeper.close()
      turns.push([p99(calm), p99(sweeping)])
      left = await countExpired(admin)
      process.stdout.write(`${left} rows left; p99 ${describe(turns.at(-1))}\n`)
    }
    const medians = [0, 1].map((index) =>
      quantile(
        turns.map((turn) => turn[index]),
        0.5,
      ),
    )
    const growthMs = quantile(
      turns.map(([calm, sweeping]) => sweeping - calm),
      0.5,
    )
    const isCorrect = growthMs < maxGrowthMs
    process.stdout.write(
      `${isCorrect ? '✓' : '✗'} median of ${turns.length} turns: p99 ${describe(medians)}, grows by ${growthMs.toFixed(2)} ms\n`,
    )
    return isCorrect ? 0 : 1
  } finally {
    await store.close()
    await admin.end()
    await server.stop()
  }
}

function openStore(url, sweepInterval) {
  return postgres({ url, sweepInterval, timeout: '20s' })
}

async function prepare(url, admin, store, rows) {
  await ensureTable({ url })
  await admin.query(
    `INSERT INTO stowage_cache SELECT 'expired:' || n, repeat('v', 200), NULL, now() - interval '1 s'
      FROM generate_series(1, $1::int) n`,
    [rows],
  )
  await admin.query('VACUUM ANALYZE stowage_cache')
  for (const key of keys) await store.set(key, value)
}

/** Resolves to the durations of the calls, in milliseconds: reads and writes alternate. */
async function callSteadily(store) {
  const durations = []
  const calls = []
  const startedAt = performance.now()
  for (let sent = 0; performance.now() - startedAt < turnMs; await sleep(1)) {
    const due = ((performance.now() - startedAt) * callsPerSecond) / 1_000
    for (; sent < due; sent++) calls.push(measure(store, sent, durations))
  }
  await Promise.all(calls)
  return durations
}

/** A call that fails counts as one that never ends. */
async function measure(store, index, durations) {
  const key = keys[index % keys.length]
  const startedAt = performance.now()
  try {
    await (index % 2 === 0 ? store.get(key) : store.set(key, value, 3_600_000))
    durations.push(performance.now() - startedAt)
  } catch {
    durations.push(Infinity)
  }
}

async function countExpired(admin) {
  const { rows } = await admin.query(
    "SELECT count(*)::int AS count FROM stowage_cache WHERE key LIKE 'expired:%'",
  )
  return rows[0].count
}

function describe([calm, sweeping]) {
  return `${calm.toFixed(2)} ms without the sweep, ${sweeping.toFixed(2)} with it`
}

function p99(durations) {
  return quantile(durations, 0.99)
}

function quantile(durations, share) {
  const sorted = durations.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length * share)]
}
