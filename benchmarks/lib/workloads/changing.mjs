import assert from 'node:assert/strict'
import pg from 'pg'

/** How many changes use different keys. */
const changes = 100
const connections = 32

/** Each entry has the name of an operation, the number of keys that it changes, the number of calls in flight, and targets. */
export function changeWorkloads(plan) {
  return plan.map(({ name, keys, inFlight, ...targets }) => ({
    ...targets,
    id: `${name} ${keys} ${keys === 1 ? 'key' : 'keys'} x${inFlight}`,
    name,
    inFlight,
    valueBytes: 0,
    createOperation: (contestant) => ({
      size: changes,
      call: (i) => contestant.change(namesOf(i, keys)),
    }),
  }))
}

function namesOf(change, keys) {
  return Array.from({ length: keys }, (_, index) => `key:${change}:${index}`)
}

/** Checks that the keys of a change are missing after it. */
export async function checkChange(contestant) {
  const keys = namesOf(0, 3)
  for (const key of keys) await contestant.set(key, 'old')
  await contestant.change(keys)
  for (const key of keys) assert.equal(await contestant.get(key), undefined)
}

/** A pool, and a function that runs a transaction of one statement. */
export function openDatabase(url) {
  const pool = new pg.Pool({ connectionString: url, max: connections })
  const transaction = async () => {
    const client = await pool.connect()
    try {
      await client.query('BEGIN')
      await client.query('SELECT 1')
      await client.query('COMMIT')
    } finally {
      client.release()
    }
  }
  return { transaction, close: () => pool.end() }
}
