import { shareDynamoDB } from './dynamodb/shared-dynamodb.ts'
import { sharePostgres } from './postgres/shared-postgres.ts'

/**
 * Lets the processes that this one starts share a DynamoDB Local and a PostgreSQL, each of which starts with the first
 * request. Resolves to a function that stops them.
 */
export async function shareServers(): Promise<() => Promise<void>> {
  const stops = [await shareDynamoDB(), await sharePostgres()]
  return async () => {
    for (const stop of stops) await stop()
  }
}
