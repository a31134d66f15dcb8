import type { ByteStore, Driver, Env } from '@stowage/core/driver'
import { memcachedDiagnostics } from './diagnosis/memcached-diagnostics.ts'
import { type Hashing, hashings } from './hashing/hash-ring.ts'
import {
  type MemcachedOptions,
  nodeDownChoices,
  type OnNodeDown,
  type Oversize,
  oversizeChoices,
  resolveOptions,
} from './memcached-options.ts'
import { MemcachedStore } from './memcached-store.ts'
import { addressRemedy, type NodeAddress, parseAddress } from './node-address.ts'
import { Cluster } from './nodes/cluster.ts'
import { HealthyNodes } from './nodes/healthy-nodes.ts'
import type { Node, NodeState } from './nodes/node.ts'
import { NodeFailover } from './nodes/node-failover.ts'

const onNodeDownVariable = 'MEMCACHED_ON_NODE_DOWN'
const endpointVariable = 'MEMCACHED_CONFIGURATION_ENDPOINT'

/** A node and its state. */
export interface NodeStatus extends NodeAddress {
  readonly state: NodeState
  /** Version of the server, while the node is connected. */
  readonly version?: string | undefined
  /** The error that took the node down, while it is down. */
  readonly error?: Error | undefined
}

/** A memcached store that also reports the state of its nodes. */
export interface MemcachedByteStore extends ByteStore {
  /** The nodes in use. Empty until the configuration endpoint, if there is one, has returned a list. */
  nodes(): readonly NodeStatus[]
}

/**
 * Creates a store on memcached servers. The first command connects.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for invalid options; TypeError for an unknown option
 * @example
 * const memcachedStore = memcached({ servers: ['10.0.0.1:11211', '10.0.0.2:11211'], onNodeDown: 'miss' })
 * const users = new Cache(memcachedStore, { prefix: 'users:' })
 * await users.set('1', { name: 'Ada' }, { ttl: '10m' })
 * console.log(memcachedStore.nodes().map(({ host, state }) => `${host} is ${state}`))
 * await users.close()
 */
export function memcached(options: MemcachedOptions = {}): MemcachedByteStore {
  const resolved = resolveOptions(options)
  const { onNodeDown, oversize, hashing } = resolved
  const cluster = new Cluster(resolved)
  const store = new MemcachedStore(cluster, oversize)
  const nodes = () => cluster.nodes.map(statusOf)
  const tools = { nodes, diagnostics: memcachedDiagnostics(resolved) }
  if (onNodeDown === 'error') return Object.assign(store, tools)
  const healthyNodes = new HealthyNodes(cluster, hashing)
  const fallback =
    onNodeDown === 'failover' ? new MemcachedStore(healthyNodes, oversize) : undefined
  const failover = new NodeFailover(store, cluster, healthyNodes, fallback)
  cluster.onNodeUp((node) => failover.onNodeUp(node))
  cluster.onNodesChange(() => failover.onNodesChange())
  return Object.assign(failover.store, tools)
}

function statusOf(node: Node): NodeStatus {
  const { address, state, failure, connection } = node
  return {
    ...address,
    state,
    ...(connection && { version: connection.serverVersion }),
    ...(failure && { error: failure }),
  }
}

/**
 * The driver for `CACHE_DRIVER=memcached` and `SESSION_DRIVER=memcached`.
 *
 * @example
 * const registry = new DriverRegistry({ memcached: () => import('@stowage/memcached') })
 * const configured = await cachesFromEnv({ CACHE_DRIVER: 'memcached', MEMCACHED_SERVERS: '10.0.0.1' }, registry)
 * await configured.close()
 */
const driver: Driver<MemcachedOptions> = {
  name: 'memcached',
  foreignVariables: { MEMCACHED_HOST: 'MEMCACHED_SERVERS', MEMCACHED_PORT: 'MEMCACHED_SERVERS' },
  create: memcached,
  fromEnv(env: Env): MemcachedOptions {
    const addresses = addressesFromEnv(env)
    const [username, password] = [env.text('MEMCACHED_USERNAME'), env.text('MEMCACHED_PASSWORD')]
    if ((username === undefined) !== (password === undefined)) {
      const missing = username === undefined ? 'MEMCACHED_USERNAME' : 'MEMCACHED_PASSWORD'
      env.problem(missing, 'is missing. Set user name and password together.')
    }
    return {
      ...addresses,
      pollInterval: env.timeout('MEMCACHED_POLL_INTERVAL'),
      timeout: env.timeout('MEMCACHED_TIMEOUT'),
      connectTimeout: env.timeout('MEMCACHED_CONNECT_TIMEOUT'),
      ignoreClusterErrors: env.flag('MEMCACHED_IGNORE_CLUSTER_ERRORS'),
      username,
      password,
      tls: env.flag('MEMCACHED_TLS'),
      hashing: env.choice<Hashing>('MEMCACHED_HASHING', hashings),
      onNodeDown: onNodeDownFromEnv(env),
      oversize: env.choice<Oversize>('MEMCACHED_OVERSIZE', oversizeChoices),
    }
  },
  backendId: ({ servers, configurationEndpoint }) =>
    JSON.stringify([servers, configurationEndpoint]),
}

/** The servers or the configuration endpoint. */
function addressesFromEnv(env: Env): Pick<MemcachedOptions, 'servers' | 'configurationEndpoint'> {
  const servers = serversFromEnv(env)
  const configurationEndpoint = endpointFromEnv(env)
  if (servers === undefined || configurationEndpoint === undefined) {
    return { servers, configurationEndpoint }
  }
  const ownServers = env.isOwn('MEMCACHED_SERVERS')
  const ownEndpoint = env.isOwn(endpointVariable)
  // A variable of this role takes precedence over a variable of all roles.
  if (ownServers && !ownEndpoint) return { servers }
  if (ownEndpoint && !ownServers) return { configurationEndpoint }
  env.problem(
    endpointVariable,
    'conflicts with MEMCACHED_SERVERS. Set one of them: the endpoint returns the list of servers.',
  )
  return {}
}

/** While a node is down, the other choices report logouts and changes of sessions that may be undone later. */
function onNodeDownFromEnv(env: Env): OnNodeDown | undefined {
  const choice = env.choice<OnNodeDown>(onNodeDownVariable, nodeDownChoices)
  if (env.role !== 'session' || choice === undefined || choice === 'error') return choice
  const remedy = env.isOwn(onNodeDownVariable)
    ? 'Remove it.'
    : `Set CACHE_${onNodeDownVariable} instead, for the cache only.`
  env.problem(onNodeDownVariable, `must be error for sessions, or logouts may be undone. ${remedy}`)
  return undefined
}

function serversFromEnv(env: Env): string[] | undefined {
  const addresses = env
    .text('MEMCACHED_SERVERS')
    ?.split(',')
    .map((address) => address.trim())
  const invalid = addresses?.find((address) => parseAddress(address) === undefined)
  if (invalid === undefined) return addresses
  env.problem('MEMCACHED_SERVERS', `${addressRemedy} Separate addresses with commas.`)
  return undefined
}

function endpointFromEnv(env: Env): string | undefined {
  const address = env.text(endpointVariable)
  if (address === undefined || parseAddress(address) !== undefined) return address
  env.problem(endpointVariable, addressRemedy)
  return undefined
}

export default driver
