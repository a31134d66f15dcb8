import type { DriverLoader } from '@stowage/core'
import type { Driver, Env } from '@stowage/core/driver'
import { standardDrivers } from '@stowage/drivers'
import type { DynamoDBOptions } from '@stowage/dynamodb'
import type { LmdbOptions } from '@stowage/lmdb'
import type { MemcachedByteStore, NodeStatus } from '@stowage/memcached'
import type { RedisOptions } from '@stowage/redis'

/** Where a role stores its data: a server, a file, a table or this process. */
export interface Place {
  /** `host:port` without credentials, a path or a name. */
  readonly address: string
  /** What the address is: `primary`, `replica`, `node`, `table`, … */
  readonly role: string
  /** Of a Memcached node. The drivers of other backends do not report it. */
  readonly state?: NodeStatus['state'] | undefined
  readonly detail?: string | undefined
}

type ListPlaces = () => readonly Place[]

/** All drivers, each by the name of its package. */
const packages: Readonly<Record<string, DriverLoader>> = {
  memory: () => import('@stowage/memory'),
  lmdb: () => import('@stowage/lmdb'),
  redis: () => import('@stowage/redis'),
  memcached: () => import('@stowage/memcached'),
  dynamodb: () => import('@stowage/dynamodb'),
}

/**
 * The places of each role, for the status page. A cache does not expose its store or its options, so this class wraps
 * the drivers and records what they create.
 */
export class Backends {
  readonly #places = new Map<string, ListPlaces[]>()

  /** The drivers by name. One is imported only if the environment selects it. */
  get registry(): ReturnType<typeof standardDrivers> {
    const registry = standardDrivers()
    for (const [name, load] of Object.entries(packages))
      registry.register(name, this.#recording(load))
    return registry
  }

  /** The places of a role; with a failover store those of all its stores. */
  of(role: string): readonly Place[] {
    return (this.#places.get(role) ?? []).flatMap((list) => list())
  }

  #recording(load: DriverLoader): DriverLoader {
    return async () => {
      const { default: driver } = await load()
      const roles = new Map<unknown, string>()
      return {
        default: {
          ...driver,
          fromEnv: (env: Env) => {
            const options = driver.fromEnv(env)
            roles.set(options, env.role)
            return options
          },
          create: (options: unknown) => {
            const store = driver.create(options)
            const role = roles.get(options) ?? ''
            const list = () => placesOf(driver, options, store)
            this.#places.set(role, [...(this.#places.get(role) ?? []), list])
            return store
          },
        },
      }
    }
  }
}

function placesOf({ name }: Driver, options: unknown, store: unknown): readonly Place[] {
  switch (name) {
    case 'memcached':
      return (store as MemcachedByteStore).nodes().map(nodePlace)
    case 'redis':
      return redisPlaces(options as RedisOptions)
    case 'dynamodb':
      return [tablePlace(options as DynamoDBOptions)]
    case 'lmdb':
      return [{ address: (options as LmdbOptions).path ?? '.cache', role: 'file' }]
    default:
      return [{ address: `process ${process.pid}`, role: 'memory of this process' }]
  }
}

function nodePlace({ host, port, ip, state, version, error }: NodeStatus): Place {
  const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
  const server = version === undefined ? 'not connected yet' : `Memcached ${version}`
  const detail = ip === undefined || ip === host ? server : `${ip} · ${server}`
  return { address, role: 'node', state, detail: error === undefined ? detail : error.message }
}

/** The configured addresses: after a failover, Sentinel and Cluster know others. */
function redisPlaces(options: RedisOptions): readonly Place[] {
  const {
    url = 'redis://127.0.0.1:6379',
    replicas = [],
    sentinels = [],
    clusterNodes = [],
  } = options
  const as = (role: string) => (address: string) => ({ address: hostOf(address), role })
  if (clusterNodes.length > 0) return clusterNodes.map(as('cluster node'))
  if (sentinels.length > 0) return sentinels.map(as('Sentinel'))
  return [url].map(as('primary')).concat(replicas.map(as('replica')))
}

/** A URL may contain a password. */
function hostOf(address: string): string {
  if (!address.includes('://')) return address
  const { hostname, port } = new URL(address)
  return `${hostname}:${port || 6379}`
}

function tablePlace({ table, endpoint, region }: DynamoDBOptions): Place {
  return { address: table, role: 'table', detail: endpoint ?? region ?? 'region of the AWS SDK' }
}
