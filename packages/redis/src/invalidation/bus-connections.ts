import { CacheError } from '@stowage/core'
import type { Redis } from 'ioredis'
import { checkClusterOptions, replicaOptions, serverOptions } from '../connection/client-options.ts'
import { ManagedConnection } from '../connection/managed-connection.ts'
import { parseAddress } from '../connection/server-address.ts'
import { translate } from '../redis-errors.ts'
import { type RedisOptions, type ResolvedOptions, resolveOptions } from '../redis-options.ts'

/**
 * The servers, as in the options of the store. A bus subscribes to every server that serves reads: the primary
 * announces a change before a replica has applied it, and until then the replica returns the old value. So pass the
 * same `replicas`. A bus cannot subscribe to replicas that the store discovers itself, or to several behind one
 * hostname: read entries that you keep with `consistency: 'strong'` then.
 */
export interface BusConnectionOptions
  extends Pick<
    RedisOptions,
    | 'url'
    | 'username'
    | 'password'
    | 'database'
    | 'tls'
    | 'credentials'
    | 'timeout'
    | 'connectTimeout'
    | 'clusterNodes'
    | 'sentinels'
    | 'sentinelName'
    | 'sentinelPassword'
    | 'replicas'
  > {}

/**
 * ioredis emits invalidation messages with RESP2 only. Subscriptions are not restored by the client: the bus restores
 * them itself, to know whether that succeeded.
 */
const subscriberOptions = { protocol: 2, autoResubscribe: false } as const

/** The names of the options, to check those of a bus. */
export const busOptionNames: Readonly<Record<keyof BusConnectionOptions, true>> = {
  url: true,
  username: true,
  password: true,
  database: true,
  tls: true,
  credentials: true,
  timeout: true,
  connectTimeout: true,
  clusterNodes: true,
  sentinels: true,
  sentinelName: true,
  sentinelPassword: true,
  replicas: true,
}

/** @throws CacheError `ERR_CACHE_CONFIG` */
export function resolveBusOptions(options: BusConnectionOptions): ResolvedOptions {
  if ((options as RedisOptions).client === undefined) return resolveOptions(options)
  throw new CacheError(
    'ERR_CACHE_CONFIG',
    'redis: client is not an option of a bus, because a subscribed connection takes no other commands. Use url.',
  )
}

/** Connections to all servers that serve reads. In a cluster one node is enough: it receives every message. */
export function subscriberConnections(
  options: BusConnectionOptions,
  resolved: ResolvedOptions,
): ManagedConnection[] {
  const { clusterNodes = [], replicas = [] } = options
  if (clusterNodes.length > 0) return [anyNodeConnection(options, resolved)]
  const servers = [serverOptions(options), ...replicas.map((each) => replicaOptions(options, each))]
  return servers.map(
    (server) => new ManagedConnection({ ...server, ...subscriberOptions }, resolved),
  )
}

/** A separate connection, because a subscribed RESP2 connection takes no other commands. */
export function publisherConnection(
  options: BusConnectionOptions,
  resolved: ResolvedOptions,
): ManagedConnection {
  const { clusterNodes = [] } = options
  if (clusterNodes.length > 0) return anyNodeConnection(options, resolved)
  return new ManagedConnection(serverOptions(options), resolved)
}

/** A connection to one of the nodes. Each reconnect uses the next node. */
function anyNodeConnection(
  options: BusConnectionOptions,
  resolved: ResolvedOptions,
): ManagedConnection {
  checkClusterOptions(options)
  const nodes = (options.clusterNodes ?? []).map((text) => parseAddress(text, 'clusterNodes'))
  const server = { ...serverOptions(options), ...nodes[0], ...subscriberOptions }
  const connection = new ManagedConnection(server, resolved)
  let current = 0
  connection.client.on('close', () => {
    current = (current + 1) % nodes.length
    Object.assign(connection.client.options, nodes[current])
  })
  return connection
}

/** Sends a command once the connection is established. @throws CacheError */
export async function sendCommand<T>(
  connection: ManagedConnection,
  operation: string,
  command: (client: Redis) => Promise<T>,
): Promise<T> {
  await waitUntilReady(connection, operation)
  connection.beginCommand()
  try {
    return await command(connection.corkedClient())
  } catch (error) {
    throw translate(connection.commandFailed(error), operation)
  } finally {
    connection.endCommand()
  }
}

/** @throws CacheError */
export async function waitUntilReady(
  connection: ManagedConnection,
  operation: string,
): Promise<void> {
  try {
    await connection.ready()
  } catch (error) {
    throw translate(error, operation)
  }
}
