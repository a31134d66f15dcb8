import { CreateTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb'
import {
  type DynamoDBDatabase,
  type MemcachedServer,
  type RedisServer,
  type Replicated,
  sharedDynamoDB,
  startMemcached,
  startRedis,
  startReplicated,
} from '@stowage/test-servers'

export type Variables = Readonly<Record<string, string>>

/** The servers that the doctor examines. */
export interface Backends {
  readonly redis: RedisServer
  readonly replicated: Replicated
  readonly memcached: MemcachedServer
  readonly dynamodb: DynamoDBDatabase
  stop(): Promise<void>
}

export async function startBackends(): Promise<Backends> {
  const redis = await startRedis()
  const replicated = await startReplicated({ replicas: 1 })
  const memcached = await startMemcached()
  const dynamodb = await sharedDynamoDB()
  const stop = async () => {
    for (const server of [redis, replicated, memcached, dynamodb]) await server.stop()
  }
  return { redis, replicated, memcached, dynamodb, stop }
}

export function local(port: number): string {
  return `127.0.0.1:${port}`
}

export function redisAt(port: number, credentials = ''): Variables {
  return { CACHE_DRIVER: 'redis', REDIS_URL: `redis://${credentials}${local(port)}` }
}

export function onTable(table: string, { env }: DynamoDBDatabase): Variables {
  return { CACHE_DRIVER: 'dynamodb', CACHE_TABLE: table, ...env }
}

/** The options of a client of the database. */
export function connectionTo({ url, env }: DynamoDBDatabase) {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = env
  return { endpoint: url, region: env.AWS_REGION, credentials: { accessKeyId, secretAccessKey } }
}

export async function createTableWithoutTtl(
  name: string,
  database: DynamoDBDatabase,
): Promise<void> {
  await new DynamoDBClient(connectionTo(database)).send(
    new CreateTableCommand({
      TableName: name,
      BillingMode: 'PAY_PER_REQUEST',
      KeySchema: [{ AttributeName: 'key', KeyType: 'HASH' }],
      AttributeDefinitions: [{ AttributeName: 'key', AttributeType: 'S' }],
    }),
  )
}
