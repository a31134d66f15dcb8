import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { CreateTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { type DynamoDBServer, startDynamoDB } from '@stowage/test-servers'
import dynalite from 'dynalite'

/** A running engine. */
export type Engine = Pick<DynamoDBServer, 'url' | 'stop'>

export const credentials = { accessKeyId: 'local', secretAccessKey: 'local' }
export const region = 'eu-central-1'

// What the SDK has to say about versions of Node to come is no result of a test.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true'

/** Both engines by name: Amazon's own, which needs Java, and one in this process. */
export const engines: Record<'DynamoDB Local' | 'dynalite', () => Promise<Engine>> = {
  'DynamoDB Local': startDynamoDB,
  dynalite: startDynalite,
}

async function startDynalite(): Promise<Engine> {
  const server = dynalite({ createTableMs: 0, deleteTableMs: 0 })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stop = () => new Promise<void>((resolve) => server.close(() => resolve()))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop }
}

/** A client as anybody has it, for what the driver itself does not do. */
export function admin(engine: Engine): DynamoDBClient {
  return new DynamoDBClient({ endpoint: engine.url, region, credentials })
}

/** A table of the default key, without TTL: what has ended stays. */
export async function createTable(engine: Engine, name: string): Promise<void> {
  const client = admin(engine)
  await client.send(
    new CreateTableCommand({
      TableName: name,
      BillingMode: 'PAY_PER_REQUEST',
      KeySchema: [{ AttributeName: 'key', KeyType: 'HASH' }],
      AttributeDefinitions: [{ AttributeName: 'key', AttributeType: 'S' }],
    }),
  )
  client.destroy()
}

/** Credentials where the SDK looks for them; the engines take any. */
export function useCredentials(): void {
  process.env.AWS_ACCESS_KEY_ID = credentials.accessKeyId
  process.env.AWS_SECRET_ACCESS_KEY = credentials.secretAccessKey
}
