import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { CreateTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { type DynamoDBDatabase, sharedDynamoDB } from '@stowage/test-servers'
import dynalite from 'dynalite'

/** A running engine. */
export type Engine = Pick<DynamoDBDatabase, 'url' | 'stop'>

/** Those of a database that no other file uses, after `useCredentials()`. */
export const credentials = { accessKeyId: 'local', secretAccessKey: 'local' }
export const region = 'eu-central-1'

/** DynamoDB Local is by Amazon and needs Java; dynalite runs in this process. */
export const engines: Record<'DynamoDB Local' | 'dynalite', () => Promise<Engine>> = {
  'DynamoDB Local': sharedDynamoDB,
  dynalite: startDynalite,
}

async function startDynalite(): Promise<Engine> {
  const server = dynalite({ createTableMs: 0, deleteTableMs: 0 })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stop = () => new Promise<void>((resolve) => server.close(() => resolve()))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop }
}

/** A plain SDK client, for what the driver does not do. */
export function admin(engine: Engine): DynamoDBClient {
  return new DynamoDBClient({ endpoint: engine.url, region, credentials })
}

/** A table with the default key and without TTL, where expired items are never deleted. */
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

/** Sets the environment variables of the SDK, for each file. The engines accept any credentials. */
export function useCredentials(): void {
  credentials.accessKeyId = `local${randomBytes(8).toString('hex')}`
  process.env.AWS_ACCESS_KEY_ID = credentials.accessKeyId
  process.env.AWS_SECRET_ACCESS_KEY = credentials.secretAccessKey
}
