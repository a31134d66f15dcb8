import { randomUUID } from 'node:crypto'
import { answerWithin, DeadlineError } from '@stowage/core/driver'
import {
  type PostgresPool,
  type PostgresPoolClient,
  queryConfig,
  rowsOf,
} from '../connections/client.ts'
import type { Row } from '../connections/statement.ts'

/**
 * Whether a pooler assigns a connection of the server to each transaction. Then a client sees what another one has set for
 * its session, because poolers assign the connection that was used last. Leaves the setting on the server. `undefined` if
 * the pool does not have two connections in time.
 */
export async function isTransactionPooled(
  pool: PostgresPool,
  timeoutMs: number,
): Promise<boolean | undefined> {
  const clients = await Promise.allSettled([checkOut(pool, timeoutMs), checkOut(pool, timeoutMs)])
  const [first, second] = clients.flatMap((client) =>
    client.status === 'fulfilled' ? [client.value] : [],
  )
  let isBroken = true
  try {
    if (first === undefined || second === undefined) return undefined
    const id = randomUUID()
    await query(first, "SELECT set_config('stowage.session', $1, false)", [id], timeoutMs)
    const rows = await query(
      second,
      "SELECT current_setting('stowage.session', true)",
      [],
      timeoutMs,
    )
    isBroken = false
    return rows[0]?.[0] === id
  } catch {
    return undefined
  } finally {
    first?.release(isBroken)
    second?.release(isBroken)
  }
}

function checkOut(pool: PostgresPool, timeoutMs: number): Promise<PostgresPoolClient> {
  let isLate = false
  const client = new Promise<PostgresPoolClient>((resolve, reject) => {
    pool.connect((error, client) => {
      if (client === undefined) reject(error)
      else if (isLate) client.release()
      else resolve(client)
    })
  })
  return answerWithin(timeoutMs, client, () => {
    isLate = true
    return new DeadlineError()
  })
}

function query(
  client: PostgresPoolClient,
  text: string,
  values: readonly string[],
  timeoutMs: number,
): Promise<Row[]> {
  const reply = new Promise<Row[]>((resolve, reject) => {
    client.query(queryConfig(text, values, undefined), (error, result) =>
      error ? reject(error) : resolve(rowsOf(result)),
    )
  })
  return answerWithin(timeoutMs, reply, () => new DeadlineError())
}
