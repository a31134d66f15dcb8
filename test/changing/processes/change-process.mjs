// A process that changes rows of PostgreSQL and reads them through a cache: fork(change-process.mjs, ['<job as JSON>']). It
// compares each read with what was committed before it and after it, and reports to its parent.
import { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Cache, CacheError } from '@stowage/core'
import pg from 'pg'

const {
  driver: name,
  options,
  database,
  mode,
  rows,
  forMs,
  idleMs,
} = JSON.parse(process.argv[2] ?? '{}')
const { default: driver } = await import(`@stowage/${name}`)
const cache = new Cache(driver.create(options), { prefix: `${mode}:`, ttl: '1h' })
// A transaction of a stopped process is rolled back before the marks of its change can have expired.
const limits = `-c idle_in_transaction_session_timeout=${idleMs}`
const pool = new pg.Pool({ connectionString: database, max: 8, options: limits })
pool.on('error', () => {})
const report = { reads: 0, hits: 0, stale: 0, early: 0, commits: 0, failures: 0, example: '' }

process.once('disconnect', () => process.exit(0))
process.on('message', loseConnections)
await cache.ping()
process.send?.({ isReady: true })
setInterval(() => {
  process.send?.({ ...report })
  for (const field of Object.keys(report)) report[field] = field === 'example' ? '' : 0
}, 100)
for (let index = 0; index < 2; index++) repeat(change)
for (let index = 0; index < 4; index++) repeat(read)

/** @param {() => Promise<void>} work */
async function repeat(work) {
  for (;;) {
    await work().catch(onError)
    await sleep(Math.random() * 10)
  }
}

/** Resets the connections to the database and to the backend of the cache, without a word to their clients. */
function loseConnections() {
  // @ts-expect-error not documented, and the only list of sockets that several clients have opened
  for (const handle of process._getActiveHandles()) {
    if (handle instanceof Socket && handle.remotePort !== undefined) handle.resetAndDestroy()
  }
}

/** Errors of a connection that was closed, and of a backend that is stopped, are part of the workload. */
function onError(/** @type {any} */ error) {
  const isExpected = CacheError.is(error) || error?.code !== undefined || isClosed(error)
  if (!isExpected && error !== rollback) throw error
  if (error !== rollback) report.failures++
}

/** @param {any} error */
function isClosed(error) {
  return /connection/i.test(String(error?.message))
}

const rollback = new Error('rolled back')

/** The first half of the rows is marked by keys, the other one by a tag. */
function namesOf(/** @type {string} */ row) {
  return rows.indexOf(row) < rows.length / 2 ? { keys: [row] } : { tags: ['rows'] }
}

async function read() {
  const row = any(rows)
  const before = await versionOf(row)
  let isHit = true
  const value = await cache.remember(row, { tags: namesOf(row).tags }, () => {
    isHit = false
    return versionOf(row)
  })
  const after = await versionOf(row)
  report.reads++
  if (isHit) report.hits++
  if (value < before) {
    report.stale++
    report.example = `${row}: ${value} after the commit of ${before}`
  }
  if (value > after) report.early++
}

async function change() {
  const row = any(rows)
  const changed = [row, any(rows)].sort()
  if (mode === 'after commit') {
    await transaction(changed, async () => {})
    await sleep(Math.random() * 4)
    const names = changed.map(namesOf)
    await cache.deleteMany(names.flatMap(({ keys = [] }) => keys))
    await cache.invalidateTags(names.flatMap(({ tags = [] }) => tags))
    return
  }
  const isLate = Math.random() < 0.3
  await cache.changing({ ...(isLate ? {} : merged(changed)), for: forMs }, async (running) => {
    const first = async () => {
      if (isLate) await running.mark(merged(changed))
    }
    await transaction(changed, first, () => running.assertHeld())
    await sleep(Math.random() * 4)
  })
}

/** @param {string[]} changed */
function merged(changed) {
  const names = changed.map(namesOf)
  return {
    keys: names.flatMap(({ keys = [] }) => keys),
    tags: names.flatMap(({ tags = [] }) => tags),
  }
}

/** @param {string[]} changed @param {() => Promise<void>} begin @param {() => void} [end] */
async function transaction(changed, begin, end = () => {}) {
  const client = await pool.connect()
  client.on('error', ignore)
  let failure
  try {
    await client.query('BEGIN')
    await begin()
    for (const row of changed) {
      await client.query('UPDATE rows SET version = version + 1 WHERE id = $1', [row])
      if (Math.random() < 0.2) await sleep(Math.random() * 20)
    }
    if (Math.random() < 0.1) throw rollback
    end()
    await client.query('COMMIT')
    report.commits++
  } catch (error) {
    failure = error
    if (error === rollback) await client.query('ROLLBACK')
    throw error
  } finally {
    client.off('error', ignore)
    client.release(failure !== undefined && failure !== rollback)
  }
}

/** @param {string} row @returns {Promise<number>} */
async function versionOf(row) {
  const { rows: found } = await pool.query('SELECT version FROM rows WHERE id = $1', [row])
  return Number(found[0]?.version)
}

/** @template T @param {readonly T[]} list @returns {T} */
function any(list) {
  return list[Math.floor(Math.random() * list.length)]
}

function ignore() {}
