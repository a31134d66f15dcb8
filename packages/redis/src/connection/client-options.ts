import { type ConnectionOptions, createSecureContext } from 'node:tls'
import { CacheError } from '@stowage/core'
import { checkInteger } from '@stowage/core/driver'
import type { RedisOptions as ClientOptions } from 'ioredis'
import { reconnectDelay } from '../reconnect-delay.ts'
import type { RedisOptions } from '../redis-options.ts'
import { hostOf, notAUrl, parseAddress, urlProblem } from './server-address.ts'

const defaultUrl = 'redis://127.0.0.1:6379'

/**
 * The ioredis options for the server at `url`, or for the primary that the Sentinels report.
 * @throws CacheError `ERR_CACHE_CONFIG`
 */
export function serverOptions(options: RedisOptions): ClientOptions {
  const text = options.url ?? defaultUrl
  const url = URL.canParse(text) ? new URL(text) : undefined
  const problem = url === undefined ? notAUrl : urlProblem(url)
  if (problem !== undefined) throw new CacheError('ERR_CACHE_CONFIG', `redis: url ${problem}`)
  return { ...fromUrl(url as URL, options.tls), ...overrides(options), ...sentinelOptions(options) }
}

/**
 * The ioredis options for one of `replicas`: those of the primary, with its own address. The URL of a replica has a user, a
 * password and TLS of its own, but the database is always that of the primary.
 * @throws CacheError `ERR_CACHE_CONFIG`
 */
export function replicaOptions(options: RedisOptions, replica: string): ClientOptions {
  const primary = serverOptions({ ...options, sentinels: [] })
  if (replica.includes('://')) {
    const { db } = primary
    return { ...serverOptions({ ...options, url: replica, sentinels: [] }), db }
  }
  return { ...primary, ...parseAddress(replica, 'replicas', 'host:port or a URL') }
}

/** A Sentinel that does not answer within this time, which includes connecting, is skipped. */
export const sentinelTimeoutMs = 300
/** The same after rounds in which no Sentinel answered in time. */
export const maxSentinelTimeoutMs = 2_000

/** The ioredis options for connections to the Sentinels themselves. */
export function sentinelServers(options: RedisOptions): ClientOptions[] {
  const { sentinels = [], sentinelPassword } = options
  return sentinels.map((text) => ({
    ...parseAddress(text, 'sentinels'),
    ...(sentinelPassword !== undefined && { password: sentinelPassword }),
  }))
}

/**
 * Rejects options that a cluster would ignore: it has a single database, and its nodes are discovered.
 * @throws CacheError `ERR_CACHE_CONFIG`
 */
export function checkClusterOptions(options: RedisOptions): void {
  const ignored = optionsWithoutCluster(options).map((name) =>
    name === 'database' ? 'a database other than 0' : name,
  )
  if (ignored.length === 0) return
  throw new CacheError(
    'ERR_CACHE_CONFIG',
    `redis: clusterNodes cannot be combined with ${ignored.join(', ')}. Remove one or the other.`,
  )
}

const singleServerOptions = ['replicas', 'sentinels', 'database', 'waitReplicas'] as const

export type SingleServerOption = (typeof singleServerOptions)[number]

/**
 * The options that cannot be combined with `clusterNodes`.
 * @throws CacheError `ERR_CACHE_CONFIG` if the URL is invalid
 */
export function optionsWithoutCluster(options: RedisOptions): SingleServerOption[] {
  const { replicas = [], sentinels = [], waitReplicas = 0 } = options
  const ignored = {
    replicas: replicas.length > 0,
    sentinels: sentinels.length > 0,
    database: serverOptions(options).db !== 0,
    waitReplicas: waitReplicas > 0,
  }
  return singleServerOptions.filter((name) => ignored[name])
}

function fromUrl(url: URL, tls: ConnectionOptions | undefined): ClientOptions {
  if (tls !== undefined) checkTls(url, tls)
  return {
    host: hostOf(url) || '127.0.0.1',
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

function sentinelOptions(options: RedisOptions): ClientOptions {
  const { sentinels = [], sentinelName = 'mymaster', sentinelPassword } = options
  if (sentinels.length === 0) return {}
  return {
    sentinels: sentinels.map((text) => parseAddress(text, 'sentinels')),
    name: sentinelName,
    role: 'master',
    // A replaced primary may stay reachable and accept writes that are lost later.
    failoverDetector: true,
    sentinelCommandTimeout: sentinelTimeoutMs,
    sentinelRetryStrategy: reconnectDelay,
    sentinelReconnectStrategy: () => 1_000,
    ...(sentinelPassword !== undefined && { sentinelPassword }),
  }
}

/** Fails now on unusable certificates; otherwise the first connection would fail, as if the server were unreachable. */
function checkTls(url: URL, tls: ConnectionOptions): void {
  if (url.protocol !== 'rediss:') {
    throw new CacheError(
      'ERR_CACHE_CONFIG',
      'redis: tls requires a rediss:// URL. A redis:// connection is not encrypted.',
    )
  }
  try {
    createSecureContext(tls)
  } catch (cause) {
    const { message } = cause as Error
    throw new CacheError('ERR_CACHE_CONFIG', `redis: tls is invalid: ${message}`, { cause })
  }
}
