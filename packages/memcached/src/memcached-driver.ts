import type { ByteStore, Env } from '@stowage/core'
import type { Driver } from '@stowage/core/driver'
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
import { Topology } from './nodes/cluster.ts'
import { Lenience } from './nodes/failover-store.ts'
import { LivingNodes } from './nodes/healthy-nodes.ts'
import type { Node, NodeState } from './nodes/node.ts'

const endpointVariable = 'MEMCACHED_CONFIGURATION_ENDPOINT'

/** A node, and how it is. */
export interface NodeStatus extends NodeAddress {
  readonly state: NodeState
  /** Of the server, once it was connected to. */
  readonly version?: string | undefined
  /** Why it is down. */
  readonly error?: Error | undefined
}

/** A store on memcached that can tell its nodes. */
export interface MemcachedByteStore extends ByteStore {
  /** The nodes in use now; none before a configuration endpoint has told them. */
  nodes(): readonly NodeStatus[]
}

/** A store on memcached servers. Connects with the first command. @throws CacheError `ERR_CACHE_CONFIG` */
export function memcached(options: MemcachedOptions = {}): MemcachedByteStore {
  const resolved = resolveOptions(options)
  const { onNodeDown, oversize, hashing } = resolved
  const topology = new Topology(resolved)
  const store = new MemcachedStore(topology, oversize)
  const nodes = () => topology.all.map(statusOf)
  if (onNodeDown === 'error') return Object.assign(store, { nodes })
  const others = new LivingNodes(topology, hashing)
  const substitute = onNodeDown === 'failover' ? new MemcachedStore(others, oversize) : undefined
  const lenience = new Lenience(store, topology, others, substitute)
  topology.onUp((node) => lenience.isUp(node))
  return Object.assign(lenience.store, { nodes })
}

function statusOf(node: Node): NodeStatus {
  const { address, state, failure, connection } = node
  return {
    ...address,
    state,
    ...(connection && { version: connection.release }),
    ...(failure && { error: failure }),
  }
}

const driver: Driver<MemcachedOptions> = {
  name: 'memcached',
  create: memcached,
  fromEnv(env: Env): MemcachedOptions {
    const where = whereFrom(env)
    const [username, password] = [env.text('MEMCACHED_USERNAME'), env.text('MEMCACHED_PASSWORD')]
    if ((username === undefined) !== (password === undefined)) {
      const absent = username === undefined ? 'MEMCACHED_USERNAME' : 'MEMCACHED_PASSWORD'
      env.problem(absent, 'is missing: user and password go together.')
    }
    return {
      ...where,
      pollInterval: env.duration('MEMCACHED_POLL_INTERVAL'),
      ignoreClusterErrors: env.flag('MEMCACHED_IGNORE_CLUSTER_ERRORS'),
      username,
      password,
      tls: env.flag('MEMCACHED_TLS'),
      hashing: env.choice<Hashing>('MEMCACHED_HASHING', hashings),
      onNodeDown: env.choice<OnNodeDown>('MEMCACHED_ON_NODE_DOWN', nodeDownChoices),
      oversize: env.choice<Oversize>('MEMCACHED_OVERSIZE', oversizeChoices),
    }
  },
  backendId: ({ servers, configurationEndpoint }) =>
    JSON.stringify([servers, configurationEndpoint]),
}

/** The nodes, or who tells them. */
function whereFrom(env: Env): Pick<MemcachedOptions, 'servers' | 'configurationEndpoint'> {
  const servers = serversOf(env)
  const configurationEndpoint = endpointOf(env)
  if (servers === undefined || configurationEndpoint === undefined) {
    return { servers, configurationEndpoint }
  }
  const [own, ownEndpoint] = [env.isOwn('MEMCACHED_SERVERS'), env.isOwn(endpointVariable)]
  // What is given for the role alone says more than what is given for both.
  if (own && !ownEndpoint) return { servers }
  if (ownEndpoint && !own) return { configurationEndpoint }
  env.problem(
    endpointVariable,
    'and MEMCACHED_SERVERS are given. Choose one: the endpoint tells the servers.',
  )
  return {}
}

/** A list of addresses, separated by commas. */
function serversOf(env: Env): string[] | undefined {
  const texts = env
    .text('MEMCACHED_SERVERS')
    ?.split(',')
    .map((text) => text.trim())
  const wrong = texts?.find((text) => parseAddress(text) === undefined)
  if (wrong === undefined) return texts
  env.problem('MEMCACHED_SERVERS', `${addressRemedy} Put a comma between two.`)
  return undefined
}

function endpointOf(env: Env): string | undefined {
  const text = env.text(endpointVariable)
  if (text === undefined || parseAddress(text) !== undefined) return text
  env.problem(endpointVariable, addressRemedy)
  return undefined
}

export default driver
