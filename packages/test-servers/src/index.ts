export {
  type DynamoDBServer,
  type DynamoDBServerOptions,
  type DynamoDBVariables,
  startDynamoDB,
} from './dynamodb/dynamodb-local.ts'
export { type DynamoDBDatabase, sharedDynamoDB } from './dynamodb/shared-dynamodb.ts'
export { type Directions, FaultProxy, startProxy, type Target } from './fault-proxy/fault-proxy.ts'
export type { Direction } from './fault-proxy/proxy-state.ts'
export {
  type MemcachedServer,
  type MemcachedServerOptions,
  startMemcached,
} from './memcached-server.ts'
export { type PgBouncer, type PgBouncerOptions, startPgBouncer } from './postgres/pgbouncer.ts'
export {
  type PostgresServer,
  type PostgresServerOptions,
  type PostgresStandbyOptions,
  startPostgres,
  startPostgresStandby,
} from './postgres/postgres-server.ts'
export { type PostgresDatabase, sharedPostgres } from './postgres/shared-postgres.ts'
export { freePort } from './process/ports.ts'
export type { ServerProcess } from './process/server-process.ts'
export { mountSmallDisk, type SmallDisk } from './process/small-disk.ts'
export type { TlsFiles } from './process/tls-files.ts'
export { propertySeed } from './property-seed.ts'
export { type Cluster, type ClusterOptions, startCluster } from './redis/cluster.ts'
export { command, type RedisAddress } from './redis/redis-client.ts'
export { type RedisServer, type RedisServerOptions, startRedis } from './redis/redis-server.ts'
export { type Replicated, type ReplicatedOptions, startReplicated } from './redis/replicated.ts'
export type { RedisReply } from './redis/resp.ts'
export {
  type Dialect,
  type ScriptlessRedis,
  startScriptlessRedis,
} from './redis/scriptless-redis.ts'
export { type SentinelOptions, type Sentinels, startSentinels } from './redis/sentinels.ts'
export { shareServers } from './shared-servers.ts'
export { runningTimeOf, Stalls } from './stalls.ts'
export { isFullTier, variantGroups } from './tier.ts'
