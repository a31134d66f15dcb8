import type { ConnectionOptions } from 'node:tls'
import type { Duration } from '@stowage/core'
import { checkInteger, checkOptionNames, checkTimeout } from '@stowage/core/driver'
import {
  type ReadFrom,
  type ReplicaOptions,
  type ResolvedReplicaOptions,
  replicaOptionNames,
  resolveReplicaOptions,
} from '@stowage/core/internal'
import type { Cluster, Redis } from 'ioredis'

export type { ReadFrom }

/** The methods of an ioredis client that the store uses. */
export type RedisClient = Pick<
  Redis,
  | 'getBuffer'
  | 'mgetBuffer'
  | 'set'
  | 'mset'
  | 'unlink'
  | 'pexpire'
  | 'pttl'
  | 'evalsha'
  | 'eval'
  | 'call'
  | 'multi'
  | 'scan'
  | 'flushdb'
  | 'ping'
  | 'info'
  | 'wait'
  | 'time'
>

/** Returns the current user and password. Called before each connection attempt, and every ten minutes. */
export type CredentialsProvider = () => Promise<Credentials> | Credentials

export interface Credentials {
  readonly username?: string | undefined
  readonly password: string
}

export interface RedisOptions extends ReplicaOptions {
  /**
   * `redis://user:password@host:6379/0`, or `rediss://` for TLS. Special characters in user and password must be
   * percent-encoded.
   * @default 'redis://127.0.0.1:6379'
   */
  readonly url?: string | undefined
  /** Overrides the user in `url`. */
  readonly username?: string | undefined
  /** Overrides the password in `url`. */
  readonly password?: string | undefined
  /** Database number. Overrides the one in `url`. @default 0 */
  readonly database?: number | undefined
  /** Options of `tls.connect`, such as `ca`. Requires a `rediss://` URL. */
  readonly tls?: ConnectionOptions | undefined
  /** Deadline of a call, including reconnects and retries. @default '750ms' */
  readonly timeout?: Duration | undefined
  /** Deadline of a connection attempt. @default '1s' */
  readonly connectTimeout?: Duration | undefined
  /** Maximum size of a value, in bytes. @default 512 MiB, the server's `proto-max-bulk-len` */
  readonly maxValueBytes?: number | undefined
  /**
   * Some nodes of a cluster, as `host:port`; the others are discovered. Only user, password and TLS are then read from
   * `url`.
   */
  readonly clusterNodes?: readonly string[] | undefined
  /**
   * Sentinels, as `host:port`. They report the primary, and a failover takes effect as soon as they announce it. Only
   * user, password, database and TLS are then read from `url`.
   */
  readonly sentinels?: readonly string[] | undefined
  /** Name of the primary in the configuration of the Sentinels. @default 'mymaster' */
  readonly sentinelName?: string | undefined
  /** Password of the Sentinels themselves. */
  readonly sentinelPassword?: string | undefined
  /**
   * Replicas that serve reads, as URLs or as `host:port` with the other settings of `url`. The database is always that of
   * `url`. With Sentinels and in a cluster they are discovered if `readFrom` is not `'primary'`.
   */
  readonly replicas?: readonly string[] | undefined
  /**
   * Number of replicas that must acknowledge a write (`WAIT`) before it succeeds. A failover loses no such write only if
   * the promoted replica is among those: set the number of all replicas. With fewer, `SENTINEL FAILOVER` loses writes,
   * because the old primary goes on accepting them for about a second, and a replica that still follows it acknowledges
   * them. After a crash, Sentinel promotes the replica that has received most, among those of equal `replica-priority`
   * that it can reach.
   *
   * Costs one more round trip. If too few acknowledge it within half of `timeout`, the write fails, although the
   * primary may have executed it. Writes use a connection of their own, so a read sent before the reply to a write may
   * not see that write.
   * @default 0
   */
  readonly waitReplicas?: number | undefined
  /** Replaces a fixed user and password: for rotated passwords, and for tokens such as those of AWS IAM. */
  readonly credentials?: CredentialsProvider | undefined
  /**
   * An ioredis client, also of a cluster, or a function that returns one, to use instead of the connection options above.
   * `close()` leaves it open. A client with a `keyPrefix` is rejected: use the `prefix` of a cache. So are `stringNumbers`,
   * and a `scaleReads` other than `'master'`: to read from replicas, use `clusterNodes` with `readFrom`.
   */
  readonly client?: RedisClient | Cluster | (() => RedisClient | Cluster) | undefined
}

/** Validated options, with defaults. */
export interface ResolvedOptions extends ResolvedReplicaOptions {
  readonly timeoutMs: number
  readonly connectTimeoutMs: number
  readonly maxValueBytes: number
  readonly waitReplicas: number
  readonly credentials: CredentialsProvider | undefined
}

/** The default of the server's `proto-max-bulk-len`. */
const maxBulkBytes = 512 * 1024 * 1024

const optionNames: Readonly<Record<keyof RedisOptions, true>> = {
  url: true,
  username: true,
  password: true,
  database: true,
  tls: true,
  timeout: true,
  connectTimeout: true,
  maxValueBytes: true,
  clusterNodes: true,
  sentinels: true,
  sentinelName: true,
  sentinelPassword: true,
  replicas: true,
  ...replicaOptionNames,
  waitReplicas: true,
  credentials: true,
  client: true,
}

/** @throws TypeError for an unknown option */
export function checkRedisOptionNames(options: RedisOptions): void {
  if (typeof options === 'string' || 'host' in Object(options) || 'port' in Object(options)) {
    throw new TypeError(
      "redis: the address is the option url: redis({ url: 'redis://host:port' }).",
    )
  }
  checkOptionNames<RedisOptions>('redis', options, optionNames)
}

/** @throws CacheError `ERR_CACHE_CONFIG` */
export function resolveOptions(options: RedisOptions): ResolvedOptions {
  return {
    timeoutMs: checkTimeout('redis: timeout', options.timeout ?? '750ms'),
    connectTimeoutMs: checkTimeout('redis: connectTimeout', options.connectTimeout ?? '1s'),
    maxValueBytes: checkInteger('redis: maxValueBytes', options.maxValueBytes ?? maxBulkBytes, 1),
    ...resolveReplicaOptions('redis', options),
    waitReplicas: checkInteger('redis: waitReplicas', options.waitReplicas ?? 0, 0),
    credentials: options.credentials,
  }
}
