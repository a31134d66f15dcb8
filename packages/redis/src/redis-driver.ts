import { type ByteStore, type Env, withBatching, withTimeout } from '@stowage/core'
import { consistencies, type Driver } from '@stowage/core/driver'
import { BorrowedConnection, OwnConnection } from './connection/connection.ts'
import {
  addressOf,
  assertClusterOnly,
  isAddress,
  type RedisOptions,
  type ResolvedOptions,
  readFroms,
  resolveOptions,
  serverOptions,
  urlProblem,
} from './redis-options.ts'
import { largestInScript, RedisStore } from './redis-store.ts'
import { ClusterTopology } from './topology/cluster-topology.ts'
import { fixedReplicas, sentinelReplicas } from './topology/replica-discovery.ts'
import { ReplicatedTopology } from './topology/replicated-topology.ts'
import { SingleTopology, type Topology } from './topology/topology.ts'
import { Durability } from './wait-for-replicas.ts'

/** A store on a Redis or Valkey server. Connects with the first command. @throws CacheError `ERR_CACHE_CONFIG` */
export function redis(options: RedisOptions = {}): ByteStore {
  const resolved = resolveOptions(options)
  const { client } = options
  if (client === undefined) {
    const topology = topologyOf(options, resolved)
    return merged(new RedisStore(topology, resolved, durabilityOf(options, resolved)))
  }
  const topology = new SingleTopology(new BorrowedConnection(client))
  // Whether a client of the caller's ever gives up is not known.
  return withTimeout(merged(new RedisStore(topology, resolved)), resolved.timeoutMs)
}

function topologyOf(options: RedisOptions, resolved: ResolvedOptions): Topology {
  const { clusterNodes = [], replicas = [] } = options
  if (clusterNodes.length > 0) {
    assertClusterOnly(options)
    const nodes = clusterNodes.map((text) => addressOf(text, 'a node of the cluster'))
    return new ClusterTopology(nodes, serverOptions(options), resolved)
  }
  const primary = new OwnConnection(serverOptions(options), resolved)
  const found = replicas.length === 0 && (options.sentinels ?? []).length > 0
  if (found && resolved.readFrom !== 'primary') {
    return new ReplicatedTopology(primary, sentinelReplicas(options, resolved), resolved)
  }
  if (replicas.length === 0) return new SingleTopology(primary)
  return new ReplicatedTopology(primary, fixedReplicas(replicas, options, resolved), resolved)
}

function durabilityOf(options: RedisOptions, resolved: ResolvedOptions): Durability | undefined {
  if (resolved.waitReplicas === 0) return undefined
  const connection = new OwnConnection(serverOptions(options), resolved)
  return new Durability(connection, resolved.waitReplicas, resolved.timeoutMs / 2)
}

/** The `get`s of one tick become an MGET, or two; its `set`s of small items an MSET, or a script where they expire. */
function merged(store: ByteStore): ByteStore {
  return withBatching(store, { overlap: true, maxSetBytes: largestInScript })
}

const driver: Driver<RedisOptions> = {
  name: 'redis',
  create: redis,
  fromEnv(env: Env): RedisOptions {
    const url = env.url('REDIS_URL', ['redis:', 'rediss:'], 'redis://user:password@host:6379/0')
    const problem = url && urlProblem(url)
    if (problem !== undefined) env.problem('REDIS_URL', problem)
    const [primary, second] = addresses(env, 'REDIS_PRIMARY') ?? []
    if (second !== undefined) {
      env.problem('REDIS_PRIMARY', 'is one address. Give the others in REDIS_REPLICAS.')
    }
    return {
      url: withAddress(url, primary),
      replicas: addresses(env, 'REDIS_REPLICAS'),
      replicaConnections: env.integer('REDIS_REPLICA_CONNECTIONS', 1),
      readFrom: env.choice('REDIS_READ_FROM', readFroms),
      consistency: env.choice('REDIS_CONSISTENCY', consistencies),
      waitReplicas: env.integer('REDIS_WAIT_REPLICAS'),
      clusterNodes: addresses(env, 'REDIS_CLUSTER_NODES'),
      sentinels: addresses(env, 'REDIS_SENTINELS'),
      sentinelName: env.text('REDIS_SENTINEL_NAME'),
    }
  },
  backendId: ({ url, clusterNodes, sentinels, sentinelName }) =>
    JSON.stringify([url, clusterNodes, sentinels, sentinelName]),
}

/** A list of `host:port`, separated by commas. */
function addresses(env: Env, name: string): string[] | undefined {
  const texts = env
    .text(name)
    ?.split(',')
    .map((text) => text.trim())
  const wrong = texts?.find((text) => !isAddress(text))
  if (wrong === undefined) return texts
  env.problem(name, 'is no list of addresses. Write host:port, and a comma between two.')
  return undefined
}

/** The address of the primary, with user, password, database and TLS of the URL where there is one. */
function withAddress(url: URL | undefined, address: string | undefined): string | undefined {
  if (address === undefined) return url?.href
  const merged = new URL(url ?? 'redis://127.0.0.1')
  merged.host = address
  return merged.href
}

export default driver
