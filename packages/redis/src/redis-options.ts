import { type ConnectionOptions, createSecureContext } from 'node:tls'
import { CacheError, type Consistency, type Duration } from '@stowage/core'
import { checkChoice, checkInteger, checkTimeout, consistencies } from '@stowage/core/driver'
import type { RedisOptions as ClientOptions, Redis } from 'ioredis'
import { backOff } from './reconnect-delay.ts'

/** What the store uses of an ioredis client. */
export type RedisClient = Pick<
  Redis,
  | 'getBuffer'
  | 'mgetBuffer'
  | 'set'
  | 'mset'
  | 'unlink'
  | 'pexpire'
  | 'evalsha'
  | 'eval'
  | 'scan'
  | 'flushdb'
  | 'ping'
  | 'info'
  | 'wait'
>

/**
 * Which servers answer reads. A server that fails is passed over, down to the primary. Locks, counters, `add` and
 * `compareAndSet` are the primary's in any case.
 * - `'primary'`: the primary.
 * - `'primaryPreferred'`: the primary, and the replicas while it is away.
 * - `'replicaPreferred'`: the replicas in turn; when one fails, the primary.
 * - `'replica'`: the replicas in turn; when one fails, the next, and the primary last.
 * - `'any'`: the primary and the replicas in turn.
 * - `'nearest'`: whoever has the shortest round trip.
 */
export type ReadFrom = (typeof readFroms)[number]

export const readFroms = [
  'primary',
  'primaryPreferred',
  'replicaPreferred',
  'replica',
  'any',
  'nearest',
] as const

/** Who is asked for user and password whenever a connection is made, and every ten minutes. */
export type CredentialsProvider = () => Promise<Credentials> | Credentials

export interface Credentials {
  readonly username?: string | undefined
  readonly password: string
}

export interface Address {
  readonly host: string
  readonly port: number
}

export interface RedisOptions {
  /**
   * `redis://user:password@host:6379/0`, or `rediss://` for TLS. Special characters of user and password are
   * percent-encoded.
   * @default 'redis://127.0.0.1:6379'
   */
  readonly url?: string | undefined
  /** Instead of the one in the URL. */
  readonly username?: string | undefined
  /** Instead of the one in the URL. */
  readonly password?: string | undefined
  /** Number of the database, instead of the one in the URL. @default 0 */
  readonly database?: number | undefined
  /** Certificates and the like, for `rediss://`. */
  readonly tls?: ConnectionOptions | undefined
  /** How long a command may take, from its sending. @default '750ms' */
  readonly timeout?: Duration | undefined
  /** How long a connection may take to be made. @default '1s' */
  readonly connectTimeout?: Duration | undefined
  /** Largest value taken, in bytes. @default 512 MiB, the server's `proto-max-bulk-len` */
  readonly maxValueBytes?: number | undefined
  /** Some nodes of a cluster, as `host:port`; the others are found. `url` then gives user, password and TLS only. */
  readonly clusterNodes?: readonly string[] | undefined
  /**
   * Sentinels that know the primary, as `host:port`; `url` then gives user, password, database and TLS only. A primary
   * they have replaced is left as soon as they say so.
   */
  readonly sentinels?: readonly string[] | undefined
  /** What the Sentinels call the primary. @default 'mymaster' */
  readonly sentinelName?: string | undefined
  /** Password of the Sentinels themselves. */
  readonly sentinelPassword?: string | undefined
  /**
   * Replicas that share the reads: URLs, or `host:port` with the rest as in `url`. With Sentinels and in a cluster they
   * are found, once `readFrom` says to use them.
   */
  readonly replicas?: readonly string[] | undefined
  /** How many connections to each of `replicas`: an ElastiCache reader endpoint leads each to one replica. @default 1 */
  readonly replicaConnections?: number | undefined
  /**
   * How long a connection to a replica named in DNS is used before a new one takes over: the name may lead to another
   * replica by then.
   * @default '5m'
   */
  readonly renewReplicasAfter?: Duration | undefined
  /** @default 'replicaPreferred' with `replicas`, else 'primary' */
  readonly readFrom?: ReadFrom | undefined
  /**
   * How recent a read from a replica must be: `'session'`, never older than what this process has written or
   * observed; `'eventual'`, as it comes; `'strong'`, from the primary.
   * @default 'session'
   */
  readonly consistency?: Consistency | undefined
  /** How far replicas are behind at most, where the user may not ask them by INFO. @default '2s' */
  readonly assumedLag?: Duration | undefined
  /**
   * A write succeeds only once so many replicas have it, so that a failover does not lose it. It costs a round trip to
   * them; where they do not answer in half of `timeout`, the write fails, though it may have been made. Writes have a
   * connection of their own: a read that does not wait for the answer of a write may come before it.
   * @default 0
   */
  readonly waitReplicas?: number | undefined
  /** Instead of a fixed user and password: for rotated passwords, and for tokens such as those of AWS IAM. */
  readonly credentials?: CredentialsProvider | undefined
  /** A client of your own instead of a connection by the options above. It stays yours: `close()` leaves it open. */
  readonly client?: RedisClient | (() => RedisClient) | undefined
}

/** The options with their defaults, checked. */
export interface ResolvedOptions {
  readonly timeoutMs: number
  readonly connectTimeoutMs: number
  readonly maxValueBytes: number
  readonly assumedLagMs: number
  readonly renewReplicasMs: number
  readonly replicaConnections: number
  readonly readFrom: ReadFrom
  readonly consistency: Consistency
  readonly waitReplicas: number
  readonly credentials: CredentialsProvider | undefined
}

const serverBulkLimit = 512 * 1024 * 1024
const defaultUrl = 'redis://127.0.0.1:6379'
const exampleUrl = 'redis://user:password@host:6379/0'
const protocols = ['redis:', 'rediss:']

export function resolveOptions(options: RedisOptions): ResolvedOptions {
  return {
    timeoutMs: checkTimeout('redis: timeout', options.timeout ?? '750ms'),
    connectTimeoutMs: checkTimeout('redis: connectTimeout', options.connectTimeout ?? '1s'),
    maxValueBytes: checkInteger(
      'redis: maxValueBytes',
      options.maxValueBytes ?? serverBulkLimit,
      1,
    ),
    assumedLagMs: checkTimeout('redis: assumedLag', options.assumedLag ?? '2s'),
    renewReplicasMs: checkTimeout('redis: renewReplicasAfter', options.renewReplicasAfter ?? '5m'),
    replicaConnections: checkInteger(
      'redis: replicaConnections',
      options.replicaConnections ?? 1,
      1,
    ),
    readFrom: checkChoice('redis: readFrom', options.readFrom ?? usualReadFrom(options), readFroms),
    consistency: checkChoice('redis: consistency', options.consistency ?? 'session', consistencies),
    waitReplicas: checkInteger('redis: waitReplicas', options.waitReplicas ?? 0, 0),
    credentials: options.credentials,
  }
}

function usualReadFrom({ replicas = [] }: RedisOptions): ReadFrom {
  return replicas.length > 0 ? 'replicaPreferred' : 'primary'
}

/** What to tell the client about the server. @throws CacheError `ERR_CACHE_CONFIG` */
export function serverOptions(options: RedisOptions): ClientOptions {
  const text = options.url ?? defaultUrl
  const url = URL.canParse(text) ? new URL(text) : undefined
  const problem = url === undefined ? notAUrl : urlProblem(url)
  if (problem !== undefined) throw new CacheError('ERR_CACHE_CONFIG', `redis: the url ${problem}`)
  return { ...fromUrl(url as URL, options.tls), ...overrides(options), ...sentinelOptions(options) }
}

/** `host:port`, or an IPv6 address in brackets. @throws CacheError `ERR_CACHE_CONFIG` */
export function addressOf(text: string, what: string): Address {
  if (!isAddress(text)) {
    throw new CacheError('ERR_CACHE_CONFIG', `redis: ${what} is given as host:port.`)
  }
  const url = new URL(`redis://${text}`)
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port) }
}

export function isAddress(text: string): boolean {
  const url = URL.canParse(`redis://${text}`) ? new URL(`redis://${text}`) : undefined
  return url !== undefined && url.host === text.toLowerCase() && url.port !== ''
}

function sentinelOptions(options: RedisOptions): ClientOptions {
  const { sentinels = [], sentinelName = 'mymaster', sentinelPassword } = options
  if (sentinels.length === 0) return {}
  return {
    sentinels: sentinels.map((text) => addressOf(text, 'a Sentinel')),
    name: sentinelName,
    role: 'master',
    // A primary that was replaced may stay reachable and take writes that are lost.
    failoverDetector: true,
    sentinelCommandTimeout: 300,
    sentinelRetryStrategy: backOff,
    sentinelReconnectStrategy: () => 1_000,
    ...(sentinelPassword !== undefined && { sentinelPassword }),
  }
}

/** The Sentinels as servers of their own. */
export function sentinelServers(options: RedisOptions): ClientOptions[] {
  const { sentinels = [], sentinelPassword } = options
  return sentinels.map((text) => ({
    ...addressOf(text, 'a Sentinel'),
    ...(sentinelPassword !== undefined && { password: sentinelPassword }),
  }))
}

/** The same for a replica, which differs in its address at least. @throws CacheError `ERR_CACHE_CONFIG` */
export function replicaOptions(options: RedisOptions, replica: string): ClientOptions {
  if (replica.includes('://')) return serverOptions({ ...options, url: replica, sentinels: [] })
  const { host, port } = addressOf(replica, 'a replica (where it is no URL)')
  return { ...serverOptions({ ...options, sentinels: [] }), host, port }
}

/** A cluster has one database, and finds its own nodes. @throws CacheError `ERR_CACHE_CONFIG` for options it would ignore */
export function assertClusterOnly(options: RedisOptions): void {
  const { replicas = [], sentinels = [] } = options
  const ignored = [
    replicas.length > 0 && 'replicas',
    sentinels.length > 0 && 'sentinels',
    serverOptions(options).db !== 0 && 'a database other than 0',
    (options.waitReplicas ?? 0) > 0 && 'waitReplicas',
  ].filter(Boolean)
  if (ignored.length === 0) return
  throw new CacheError(
    'ERR_CACHE_CONFIG',
    `redis: clusterNodes cannot go with ${ignored.join(', ')}. Leave out one or the other.`,
  )
}

/** What is wrong with the URL and what to write instead, if anything. */
export function urlProblem(url: URL): string | undefined {
  if (!protocols.includes(url.protocol)) return notAUrl
  if (url.search !== '' || url.hash !== '') {
    return 'has a "?" or "#": percent-encode them in a password (%3F, %23), and give other options in code.'
  }
  if (!/^\/?\d*$/.test(url.pathname)) {
    return `names no database: after the host comes its number. Write it like ${exampleUrl}.`
  }
  return canDecode(url) ? undefined : 'has a "%" that encodes nothing: write it as %25.'
}

const notAUrl = `is no redis:// or rediss:// URL. Write it like ${exampleUrl}.`

/** Unusable certificates are a mistake now, not an outage later. */
function checkTls(url: URL, tls: ConnectionOptions): void {
  if (url.protocol !== 'rediss:') {
    throw new CacheError(
      'ERR_CACHE_CONFIG',
      'redis: tls needs a rediss:// URL; with redis:// nothing would be encrypted.',
    )
  }
  try {
    createSecureContext(tls)
  } catch (cause) {
    throw new CacheError(
      'ERR_CACHE_CONFIG',
      `redis: tls cannot be used: ${(cause as Error).message}`,
      { cause },
    )
  }
}

function fromUrl(url: URL, tls: ConnectionOptions | undefined): ClientOptions {
  if (tls !== undefined) checkTls(url, tls)
  return {
    // An IPv6 address stands in brackets in a URL, and nowhere else.
    host: url.hostname.replace(/^\[|\]$/g, '') || '127.0.0.1',
    port: Number(url.port || 6379),
    db: Number(url.pathname.slice(1)),
    ...(url.username !== '' && { username: decodeURIComponent(url.username) }),
    ...(url.password !== '' && { password: decodeURIComponent(url.password) }),
    ...(url.protocol === 'rediss:' && { tls: { ...tls } }),
  }
}

function overrides({ username, password, database }: RedisOptions): ClientOptions {
  return {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(database !== undefined && { db: checkInteger('redis: database', database, 0) }),
  }
}

function canDecode(url: URL): boolean {
  try {
    decodeURIComponent(url.username + url.password)
    return true
  } catch {
    return false
  }
}
