import {
  type DynamoDBServer,
  type MemcachedServer,
  type RedisServer,
  type Replicated,
  startDynamoDB,
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
  readonly dynamodb: DynamoDBServer
  stop(): Promise<void>
}

export async function startBackends(): Promise<Backends> {
  const redis = await startRedis()
  const replicated = await startReplicated({ replicas: 1 })
  const memcached = await startMemcached()
  const dynamodb = await startDynamoDB()
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

export function onTable(table: string, { env }: DynamoDBServer): Variables {
  return { CACHE_DRIVER: 'dynamodb', CACHE_TABLE: table, ...env }
}
