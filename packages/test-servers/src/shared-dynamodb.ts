import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  type DynamoDBServer,
  type DynamoDBVariables,
  startDynamoDB,
  variablesFor,
} from './dynamodb-local.ts'

/** Contains the address where the worker processes of a test run request the shared server. */
const variable = 'STOWAGE_SHARED_DYNAMODB'

/** A database of its own in a DynamoDB Local that several test files share. */
export interface DynamoDBDatabase {
  readonly url: string
  readonly env: DynamoDBVariables
  /** Stops the server, unless other files use it. */
  readonly stop: () => Promise<void>
}

/**
 * Resolves to an empty database. Its server is shared by all files of a test run, because a Java runtime takes seconds of
 * processor time to start: do not stop or freeze it, but start one with `startDynamoDB` for that.
 */
export async function sharedDynamoDB(): Promise<DynamoDBDatabase> {
  const address = process.env[variable]
  if (address === undefined) {
    const { url, stop } = await startDynamoDB({ databases: 'by-access-key' })
    return databaseOf(url, stop)
  }
  const response = await fetch(address)
  const text = await response.text()
  if (!response.ok) throw new Error(text)
  return databaseOf(text, async () => {})
}

/** DynamoDB Local has a database for each access key id and region. */
function databaseOf(url: string, stop: () => Promise<void>): DynamoDBDatabase {
  const accessKeyId = `local${randomBytes(8).toString('hex')}`
  return { url, env: variablesFor(url, { accessKeyId, secretAccessKey: 'local' }), stop }
}

/**
 * Lets the processes that this one starts share a DynamoDB Local. It starts with the first request, in this process, which
 * outlives the workers of a test run. Resolves to a function that stops it.
 */
export async function shareDynamoDB(): Promise<() => Promise<void>> {
  // Vitest calls this for each of its projects.
  if (process.env[variable] !== undefined) return async () => {}
  let server: Promise<DynamoDBServer> | undefined
  const broker = createServer(async (_, response) => {
    try {
      server ??= startDynamoDB({ databases: 'by-access-key', heap: '1g' })
      response.end((await server).url)
    } catch (error) {
      response.writeHead(500).end(`${error}`)
    }
  })
  broker.listen(0, '127.0.0.1')
  await once(broker, 'listening')
  process.env[variable] = `http://127.0.0.1:${(broker.address() as AddressInfo).port}`
  return async () => {
    delete process.env[variable]
    broker.close()
    broker.closeAllConnections()
    const started = await server?.catch(() => undefined)
    await started?.stop()
  }
}
