import { createSecureContext, type ConnectionOptions as TlsOptions } from 'node:tls'
import { CacheError, type Duration } from '@stowage/core'
import { checkChoice, checkOptionNames, checkTimeout } from '@stowage/core/driver'
import { type Hashing, hashings } from './hashing/hash-ring.ts'
import { addressRemedy, isPort, type NodeAddress, parseAddress } from './node-address.ts'

/**
 * What a call does when the node of its key is down.
 *
 * - `'error'`: it fails at once with `ERR_CACHE_UNAVAILABLE`, so that no lost write is reported as stored.
 * - `'miss'`: reads are misses, `set` resolves without storing, `delete` and `touch` resolve to `false`. Keys that this
 *   process changed meanwhile are in a journal, and are deleted from the node before it is used again. `add`, `compareAndSet` and
 *   `increment` fail, because any result could be wrong.
 * - `'failover'`: like `'miss'`, but `set` stores the value on another node for at most a minute, and reads use that
 *   node.
 */
export type OnNodeDown = 'error' | 'miss' | 'failover'

/**
 * The protocol of the connections: `'binary'`, `'meta'` (text commands), or `'auto'`, which tries them in this order
 * until the server accepts one.
 */
export type ProtocolChoice = 'auto' | 'binary' | 'meta'

/**
 * What happens to a value that is too large for one item: `'reject'` fails with `ERR_CACHE_LIMIT`, `'chunk'` splits it
 * into up to 64 items.
 */
export type Oversize = 'reject' | 'chunk'

export const nodeDownChoices: readonly OnNodeDown[] = ['error', 'miss', 'failover']
export const oversizeChoices: readonly Oversize[] = ['reject', 'chunk']
const protocolChoices: readonly ProtocolChoice[] = ['auto', 'binary', 'meta']

export interface MemcachedOptions {
  /**
   * The nodes: `host`, `host:port`, `host:port:weight`, or an object with these fields. A single host name that contains
   * `.cfg.` is used as the configuration endpoint.
   * @default ['127.0.0.1:11211']
   */
  readonly servers?: readonly (string | NodeAddress)[] | undefined
  /**
   * `host:port` of the configuration endpoint of an ElastiCache cluster, or of the discovery endpoint of a Memorystore
   * instance. Its list of nodes is used instead of `servers`.
   */
  readonly configurationEndpoint?: string | undefined
  /** Interval at which the list of nodes is polled, with a jitter of ±10 %. @default '60s' */
  readonly pollInterval?: Duration | undefined
  /**
   * Use the configuration endpoint as the only node after any error, until it returns a list of nodes.
   * @default false
   */
  readonly ignoreClusterErrors?: boolean | undefined
  /** Which node stores a key. All clients of a cache must use the same hashing. @default 'ketama' */
  readonly hashing?: Hashing | undefined
  /** User name for SASL, or for `memcached -Y` with the meta protocol, which accepts no spaces in it and in the password. */
  readonly username?: string | undefined
  readonly password?: string | undefined
  /** Use TLS, with the certificate authorities of Node or with these options. @default false */
  readonly tls?: boolean | TlsOptions | undefined
  /** @default 'auto' */
  readonly protocol?: ProtocolChoice | undefined
  /** How long a server may be silent while a request is in flight. @default '750ms' */
  readonly timeout?: Duration | undefined
  /** Deadline of a connection attempt, TLS handshake included. @default '1s' */
  readonly connectTimeout?: Duration | undefined
  /** Longest pause between two attempts to reconnect to a node that is down. The first is 10 ms. @default '1s' */
  readonly retryInterval?: Duration | undefined
  /** @default 'error' */
  readonly onNodeDown?: OnNodeDown | undefined
  /** @default 'reject' */
  readonly oversize?: Oversize | undefined
}

/** The options after validation, with defaults applied. */
export interface ResolvedOptions {
  readonly servers: readonly NodeAddress[]
  readonly configurationEndpoint: NodeAddress | undefined
  readonly pollIntervalMs: number
  readonly ignoreClusterErrors: boolean
  readonly hashing: Hashing
  readonly username: string | undefined
  readonly password: string | undefined
  readonly tls: TlsOptions | undefined
  readonly protocol: ProtocolChoice
  readonly timeoutMs: number
  readonly connectTimeoutMs: number
  readonly retryIntervalMs: number
  readonly onNodeDown: OnNodeDown
  readonly oversize: Oversize
}

const defaultServers = ['127.0.0.1:11211']
const optionNames = {
  servers: true,
  configurationEndpoint: true,
  pollInterval: true,
  ignoreClusterErrors: true,
  hashing: true,
  username: true,
  password: true,
  tls: true,
  protocol: true,
  timeout: true,
  connectTimeout: true,
  retryInterval: true,
  onNodeDown: true,
  oversize: true,
} as const

/** @throws CacheError `ERR_CACHE_CONFIG`; TypeError for an unknown option */
export function resolveOptions(options: MemcachedOptions): ResolvedOptions {
  const example = "memcached({ servers: ['host:port'] })"
  checkOptionNames<MemcachedOptions>('memcached', options, optionNames, example)
  const { username, password, ignoreClusterErrors = false } = options
  if ((username === undefined) !== (password === undefined)) {
    throw configError('username and password must be given together.')
  }
  const onNodeDown = options.onNodeDown ?? 'error'
  const oversize = options.oversize ?? 'reject'
  return {
    ...resolveServers(options),
    pollIntervalMs: checkTimeout('memcached: pollInterval', options.pollInterval ?? '60s'),
    ignoreClusterErrors,
    hashing: checkChoice('memcached: hashing', options.hashing ?? 'ketama', hashings),
    username,
    password,
    tls: resolveTls(options.tls),
    protocol: checkChoice('memcached: protocol', options.protocol ?? 'auto', protocolChoices),
    timeoutMs: checkTimeout('memcached: timeout', options.timeout ?? '750ms'),
    connectTimeoutMs: checkTimeout('memcached: connectTimeout', options.connectTimeout ?? '1s'),
    retryIntervalMs: checkTimeout('memcached: retryInterval', options.retryInterval ?? '1s'),
    onNodeDown: checkChoice('memcached: onNodeDown', onNodeDown, nodeDownChoices),
    oversize: checkChoice('memcached: oversize', oversize, oversizeChoices),
  }
}

/** Whether the host name is that of an ElastiCache configuration endpoint. */
function isConfigurationEndpoint({ host }: NodeAddress): boolean {
  return host.includes('.cfg.')
}

function resolveServers(
  options: MemcachedOptions,
): Pick<ResolvedOptions, 'servers' | 'configurationEndpoint'> {
  const { servers, configurationEndpoint } = options
  if (servers !== undefined && configurationEndpoint !== undefined) {
    throw configError('servers and configurationEndpoint exclude each other. Remove one of them.')
  }
  if (configurationEndpoint !== undefined) {
    return { servers: [], configurationEndpoint: checkAddress(configurationEndpoint) }
  }
  if (servers !== undefined && !Array.isArray(servers)) {
    throw configError("servers must be an array of addresses, such as ['127.0.0.1:11211'].")
  }
  const addresses = (servers ?? defaultServers).map(checkAddress)
  const [first] = addresses
  if (first === undefined) throw configError('servers must contain at least one address.')
  if (addresses.length === 1 && isConfigurationEndpoint(first)) {
    return { servers: [], configurationEndpoint: first }
  }
  return { servers: addresses, configurationEndpoint: undefined }
}

function checkAddress(given: string | NodeAddress): NodeAddress {
  if (typeof given === 'string') {
    const address = parseAddress(given)
    // Other clients accept credentials before the host name. The message must not repeat them.
    if (address === undefined) {
      throw configError(`"${given.replace(/^.*@/s, '…@')}" ${addressRemedy}`)
    }
    return address
  }
  const { host, port, weight = 1 } = given ?? {}
  const isWeight = Number.isFinite(weight) && weight >= 0
  if (typeof host === 'string' && host !== '' && isPort(port) && isWeight) return given
  throw configError(
    'each of servers must be host:port, or an object with host, port and an optional weight.',
  )
}

function resolveTls(given: boolean | TlsOptions | undefined): TlsOptions | undefined {
  if (given === undefined || given === false) return undefined
  const options = given === true ? {} : given
  try {
    createSecureContext(options)
  } catch (cause) {
    throw configError(`tls is invalid: ${(cause as Error).message}`)
  }
  return options
}

function configError(message: string): CacheError {
  return new CacheError('ERR_CACHE_CONFIG', `memcached: ${message}`)
}
