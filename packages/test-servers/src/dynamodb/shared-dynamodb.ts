import { randomBytes } from 'node:crypto'
import { SharedServer } from '../process/shared-server.ts'
import { type DynamoDBVariables, startDynamoDB, variablesFor } from './dynamodb-local.ts'

/** A database of its own in a DynamoDB Local that several test files share. */
export interface DynamoDBDatabase {
  readonly url: string
  readonly env: DynamoDBVariables
  /** Stops the server, unless other files use it. */
  readonly stop: () => Promise<void>
}

const server = new SharedServer('STOWAGE_SHARED_DYNAMODB', () =>
  startDynamoDB({ databases: 'by-access-key', heap: '1g' }),
)

/**
 * Resolves to an empty database. Its server is shared by all files of a test run, because a Java runtime takes seconds of
 * processor time to start: do not stop or freeze it, but start one with `startDynamoDB` for that.
 */
export async function sharedDynamoDB(): Promise<DynamoDBDatabase> {
  const { url, stop } = await server.use()
  // DynamoDB Local has a database for each access key id and region.
  const accessKeyId = `local${randomBytes(8).toString('hex')}`
  return { url, env: variablesFor(url, { accessKeyId, secretAccessKey: 'local' }), stop }
}

/** Lets the processes that this one starts share a DynamoDB Local. Resolves to a function that stops it. */
export function shareDynamoDB(): Promise<() => Promise<void>> {
  return server.share()
}
