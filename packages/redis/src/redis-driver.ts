import { type InvalidationBus, withBatching, withTimeout } from '@stowage/core'
import {
  type ByteStore,
  consistencies,
  type Driver,
  type Env,
  withKeyOrder,
} from '@stowage/core/driver'
import { readFroms } from '@stowage/core/internal'
import {
  checkClusterOptions,
  optionsWithoutCluster,
  type SingleServerOption,
  serverOptions,
} from './connection/client-options.ts'
import { ManagedConnection } from './connection/managed-connection.ts'
import { isAddress, parseAddress, urlProblem } from './connection/server-address.ts'
import { redisDiagnostics } from './diagnosis/redis-diagnostics.ts'
import { redisBus } from './invalidation/redis-bus.ts'
import { redisTracking } from './invalidation/redis-tracking.ts'
import {
  checkRedisOptionNames,
  type RedisOptions,
  type ResolvedOptions,
  resolveOptions,
} from './redis-options.ts'
import { RedisStore } from './redis-store.ts'
import { ClusterTopology } from './topology/cluster-topology.ts'
import { InjectedTopology } from './topology/injected-topology.ts'
import { fixedReplicas, sentinelReplicas } from './topology/replica-discovery.ts'
import { ReplicatedTopology } from './topology/replicated-topology.ts'
import { SingleTopology, type Topology } from './topology/topology.ts'
import { ReplicaWait } from './wait-for-replicas.ts'

/**
 * Creates a store on Redis or Valkey: a single server, replicas, Sentinel or Cluster. The first command connects.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for invalid options
 * @throws TypeError for unknown options
 *
 * @example
 * const users = new Cache(redis({ url: process.env['REDIS_URL'] }), { prefix: 'user:' })
 * await users.set('7', { name: 'Ada' }, { ttl: '10m' })
 * await users.close()
 */
export function redis(options: RedisOptions = {}): ByteStore {
  checkRedisOptionNames(options)
  const resolved = resolveOptions(options)
  const store = createStore(options, resolved)
  return Object.assign(store, { diagnostics: redisDiagnostics(options, resolved) })
}

function createStore(options: RedisOptions, resolved: ResolvedOptions): ByteStore {
  const { client } = options
  if (client === undefined) {
    const topology = createTopology(options, resolved)
    const store = new RedisStore(topology, resolved, createReplicaWait(options, resolved))
    // On one connection, Redis executes commands in order. Reads from replicas, and writes that wait for them, are sent
    // on other connections.
    const hasOrder = topology instanceof SingleTopology && resolved.waitReplicas === 0
    return batched(hasOrder ? store : withKeyOrder(store))
  }
  const topology = new InjectedTopology(client)
  // An injected client may wait forever.
  return withTimeout(batched(new RedisStore(topology, resolved)), resolved.timeoutMs)
}

function createTopology(options: RedisOptions, resolved: ResolvedOptions): Topology {
  const { clusterNodes = [], replicas = [], sentinels = [] } = options
  if (clusterNodes.length > 0) {
    checkClusterOptions(options)
    const nodes = clusterNodes.map((text) => parseAddress(text, 'clusterNodes'))
    return new ClusterTopology(nodes, serverOptions(options), resolved)
  }
  const primary = new ManagedConnection(serverOptions(options), resolved)
  if (replicas.length > 0) {
    return new ReplicatedTopology(primary, fixedReplicas(replicas, options, resolved), resolved)
  }
  if (sentinels.length > 0 && resolved.readFrom !== 'primary') {
    return new ReplicatedTopology(primary, sentinelReplicas(options, resolved), resolved)
  }
  return new SingleTopology(primary)
}

function createReplicaWait(
  options: RedisOptions,
  resolved: ResolvedOptions,
): ReplicaWait | undefined {
  if (resolved.waitReplicas === 0) return undefined
  const connection = new ManagedConnection(serverOptions(options), resolved)
  // WAIT takes a whole number.
  return new ReplicaWait(connection, resolved.waitReplicas, Math.ceil(resolved.timeoutMs / 2))
}

/** The reads of a turn become one or two MGETs, its writes an MSET, or one write of several SETs if they expire. */
function batched(store: ByteStore): ByteStore {
  return withBatching(store, { overlap: true })
}

/**
 * The driver for `CACHE_DRIVER=redis`.
 *
 * @example
 * const registry = new DriverRegistry({ redis: () => import('@stowage/redis') })
 * const configured = await cachesFromEnv(process.env, registry)
 * await configured.use('cache').set('greeting', 'hello')
 * await configured.close()
 */
const driver: Driver<RedisOptions> = {
  name: 'redis',
  create: redis,
  foreignVariables: {
    REDIS_HOST: 'REDIS_URL',
    REDIS_PORT: 'REDIS_URL',
    REDIS_PASSWORD: 'REDIS_URL',
  },
  fromEnv(env: Env): RedisOptions {
    const url = env.url('REDIS_URL', ['redis:', 'rediss:'], 'redis://user:password@host:6379/0')
    const problem = url && urlProblem(url)
    if (problem !== undefined) env.problem('REDIS_URL', problem)
    const [primary, second] = addressList(env, 'REDIS_PRIMARY') ?? []
    if (second !== undefined) {
      env.problem(
        'REDIS_PRIMARY',
        'is not a single address. Use host:port, and REDIS_REPLICAS for the replicas.',
      )
    }
    const options = {
      url: withPrimaryAddress(url, primary),
      replicas: addressList(env, 'REDIS_REPLICAS'),
      replicaConnections: env.integer('REDIS_REPLICA_CONNECTIONS', 1),
      readFrom: env.choice('REDIS_READ_FROM', readFroms),
      consistency: env.choice('REDIS_CONSISTENCY', consistencies),
      waitReplicas: env.integer('REDIS_WAIT_REPLICAS'),
      clusterNodes: addressList(env, 'REDIS_CLUSTER_NODES'),
      sentinels: addressList(env, 'REDIS_SENTINELS'),
      sentinelName: env.text('REDIS_SENTINEL_NAME'),
      timeout: env.timeout('REDIS_TIMEOUT'),
      connectTimeout: env.timeout('REDIS_CONNECT_TIMEOUT'),
    }
    if (url === undefined || problem === undefined) checkClusterVariables(env, options)
    checkReplicaVariables(env)
    checkPrimaryVariable(env)
    return options
  },
  busFromEnv(env: Env, kind: string): InvalidationBus | undefined {
    const { url, replicas, clusterNodes, sentinels, sentinelName } = driver.fromEnv(env)
    const servers = { url, replicas, clusterNodes, sentinels, sentinelName }
    if (kind === '') return redisBus(servers)
    return kind === 'tracking' ? redisTracking(servers) : undefined
  },
  backendId: ({ url, clusterNodes, sentinels, sentinelName }) =>
    JSON.stringify([url, clusterNodes, sentinels, sentinelName]),
}

/** Variables that determine the primary. */
const primaryVariables = ['REDIS_URL', 'REDIS_PRIMARY', 'REDIS_SENTINELS', 'REDIS_CLUSTER_NODES']

/**
 * Reads a variable of the topology. Those of all roles describe the servers of another role if this role has a primary of
 * its own, as by `SESSION_REDIS_URL`.
 */
function topologyText(env: Env, name: string): string | undefined {
  const text = env.text(name)
  const applies = env.isOwn(name) || !primaryVariables.some((each) => env.isOwn(each))
  return applies ? text : undefined
}

/** Reports variables that a cluster would ignore. */
function checkClusterVariables(env: Env, options: RedisOptions): void {
  if ((options.clusterNodes ?? []).length === 0) return
  const ignored = optionsWithoutCluster(options).map((name) => variables[name])
  if (ignored.length === 0) return
  env.problem(
    'REDIS_CLUSTER_NODES',
    `cannot be combined with ${ignored.join(', ')}. Remove one or the other.`,
  )
}

/** Reports replicas whose primary would be a server on this machine, or the one that the Sentinels find. */
function checkReplicaVariables(env: Env): void {
  const isSet = (name: string) => topologyText(env, name) !== undefined
  if (!isSet('REDIS_REPLICAS') || isSet('REDIS_CLUSTER_NODES')) return
  if (isSet('REDIS_SENTINELS')) {
    env.problem(
      'REDIS_REPLICAS',
      'cannot be combined with REDIS_SENTINELS, which find the replicas. Remove one or the other.',
    )
  } else if (env.text('REDIS_URL') === undefined && !isSet('REDIS_PRIMARY')) {
    env.problem('REDIS_REPLICAS', 'has no primary. Set REDIS_PRIMARY or REDIS_URL as well.')
  }
}

/** Reports an address that would be ignored, because Sentinels or the cluster determine the primary. */
function checkPrimaryVariable(env: Env): void {
  if (topologyText(env, 'REDIS_PRIMARY') === undefined) return
  const other = ['REDIS_SENTINELS', 'REDIS_CLUSTER_NODES'].find((name) => topologyText(env, name))
  if (other === undefined) return
  env.problem(
    'REDIS_PRIMARY',
    `cannot be combined with ${other}, which determines the primary. Remove one or the other.`,
  )
}

const variables: Readonly<Record<SingleServerOption, string>> = {
  replicas: 'REDIS_REPLICAS',
  sentinels: 'REDIS_SENTINELS',
  database: 'a database other than 0 in REDIS_URL',
  waitReplicas: 'REDIS_WAIT_REPLICAS',
}

/** Reads `host:port` addresses, separated by commas. */
function addressList(env: Env, name: string): string[] | undefined {
  const addresses = topologyText(env, name)
    ?.split(',')
    .map((text) => text.trim())
  if (addresses === undefined || addresses.every(isAddress)) return addresses
  env.problem(name, 'is not a list of addresses. Use host:port, separated by commas.')
  return undefined
}

/** Replaces the address in the URL. User, password, database and TLS of the URL are kept. */
function withPrimaryAddress(url: URL | undefined, address: string | undefined): string | undefined {
  if (address === undefined) return url?.href
  const result = new URL(url ?? 'redis://127.0.0.1')
  result.host = address
  return result.href
}

export default driver
