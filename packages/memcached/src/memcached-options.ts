import { createSecureContext, type ConnectionOptions as TlsOptions } from 'node:tls'
import { CacheError, type Duration } from '@stowage/core'
import { checkChoice, checkTimeout } from '@stowage/core/driver'
import { type Hashing, hashings } from './hashing/hash-ring.ts'
import { addressRemedy, isPort, type NodeAddress, parseAddress } from './node-address.ts'

/**
 * What a call is told whose node is down. Nothing else is asked for the key unless it is `'failover'`.
 *
 * - `'error'`: `ERR_CACHE_UNAVAILABLE`, at once. Nobody takes a write for done that was not.
 * - `'miss'`: reads are misses, `set` and `delete` are taken for done, and `touch` for nothing there. What this process
 *   could not change there is deleted when the node is back, before it is used again. `add`, `compareAndSet` and
 *   `increment` are errors, as every answer would be a lie.
 * - `'failover'`: as `'miss'`, but what is set is kept on another node meanwhile, for a minute at most, and read there.
 */
export type OnNodeDown = 'error' | 'miss' | 'failover'

/** `'binary'`; `'meta'`, commands of text; or what the server does not refuse, tried in this order. */
export type ProtocolChoice = 'auto' | 'binary' | 'meta'

/** A value too large for one item: `ERR_CACHE_LIMIT`, or up to 64 items that are read as one. */
export type Oversize = 'reject' | 'chunk'

export const nodeDownChoices: readonly OnNodeDown[] = ['error', 'miss', 'failover']
export const oversizeChoices: readonly Oversize[] = ['reject', 'chunk']

export interface MemcachedOptions {
  /**
   * The nodes: `host`, `host:port` or `host:port:weight`, or an object with the same. A single name with `.cfg.` in it
   * is a configuration endpoint.
   * @default ['127.0.0.1:11211']
   */
  readonly servers?: readonly (string | NodeAddress)[] | undefined
  /** Where an ElastiCache or Memorystore cluster tells its nodes, as `host:port`, instead of `servers`. */
  readonly configurationEndpoint?: string | undefined
  /** Between two looks at the list of nodes, give or take a tenth. @default '60s' */
  readonly pollInterval?: Duration | undefined
  /** Use the configuration endpoint as the only node while it tells no others, whatever the failure. @default false */
  readonly ignoreClusterErrors?: boolean | undefined
  /** Which node a key lives on. Clients that share a cache must agree on it. @default 'ketama' */
  readonly hashing?: Hashing | undefined
  /** For SASL, or for `memcached -Y` with the meta protocol. */
  readonly username?: string | undefined
  readonly password?: string | undefined
  /** TLS, with the system's certificates or those given here. @default false */
  readonly tls?: boolean | TlsOptions | undefined
  /** @default 'auto' */
  readonly protocol?: ProtocolChoice | undefined
  /** How long a request may take, from its sending. @default '750ms' */
  readonly timeout?: Duration | undefined
  /** How long a connection may take to be made. @default '1s' */
  readonly connectTimeout?: Duration | undefined
  /** Longest pause between two attempts to reach a node that is down. The first one follows at once. @default '1s' */
  readonly retryInterval?: Duration | undefined
  /** @default 'error' */
  readonly onNodeDown?: OnNodeDown | undefined
  /** @default 'reject' */
  readonly oversize?: Oversize | undefined
}

/** The options with their defaults, checked. */
export interface ResolvedOptions {
  readonly servers: readonly NodeAddress[]
  readonly configurationEndpoint: NodeAddress | undefined
  readonly pollMs: number
  readonly ignoreClusterErrors: boolean
  readonly hashing: Hashing
  readonly username: string | undefined
  readonly password: string | undefined
  readonly tls: TlsOptions | undefined
  readonly protocol: ProtocolChoice
  readonly timeoutMs: number
  readonly connectTimeoutMs: number
  readonly retryMs: number
  readonly onNodeDown: OnNodeDown
  readonly oversize: Oversize
}

const defaultServers = ['127.0.0.1:11211']

/** @throws CacheError `ERR_CACHE_CONFIG` */
export function resolveOptions(options: MemcachedOptions): ResolvedOptions {
  const { username, password, ignoreClusterErrors = false } = options
  if ((username === undefined) !== (password === undefined)) {
    throw wrong('username and password go together. Give both, or none.')
  }
  return {
    ...nodesOf(options),
    pollMs: checkTimeout('memcached: pollInterval', options.pollInterval ?? '60s'),
    ignoreClusterErrors,
    hashing: checkChoice('memcached: hashing', options.hashing ?? 'ketama', hashings),
    username,
    password,
    tls: tlsOf(options.tls),
    protocol: checkChoice('memcached: protocol', options.protocol ?? 'auto', [
      'auto',
      'binary',
      'meta',
    ]),
    timeoutMs: checkTimeout('memcached: timeout', options.timeout ?? '750ms'),
    connectTimeoutMs: checkTimeout('memcached: connectTimeout', options.connectTimeout ?? '1s'),
    retryMs: checkTimeout('memcached: retryInterval', options.retryInterval ?? '1s'),
    onNodeDown: checkChoice(
      'memcached: onNodeDown',
      options.onNodeDown ?? 'error',
      nodeDownChoices,
    ),
    oversize: checkChoice('memcached: oversize', options.oversize ?? 'reject', oversizeChoices),
  }
}

/** Whether the name is one of a configuration endpoint of ElastiCache. */
export function isConfigurationEndpoint({ host }: NodeAddress): boolean {
  return host.includes('.cfg.')
}

function nodesOf(
  options: MemcachedOptions,
): Pick<ResolvedOptions, 'servers' | 'configurationEndpoint'> {
  const { servers, configurationEndpoint } = options
  if (servers !== undefined && configurationEndpoint !== undefined) {
    throw wrong('servers and configurationEndpoint cannot go together. Leave out one.')
  }
  if (configurationEndpoint !== undefined) {
    return { servers: [], configurationEndpoint: addressOf(configurationEndpoint) }
  }
  const addresses = (servers ?? defaultServers).map(addressOf)
  const [first] = addresses
  if (first === undefined) throw wrong('servers is empty. Name one at least.')
  if (addresses.length === 1 && isConfigurationEndpoint(first)) {
    return { servers: [], configurationEndpoint: first }
  }
  return { servers: addresses, configurationEndpoint: undefined }
}

function addressOf(given: string | NodeAddress): NodeAddress {
  if (typeof given === 'string') {
    const address = parseAddress(given)
    // Other clients take credentials in front of the name; they are not to be repeated.
    if (address === undefined) throw wrong(`"${given.replace(/^.*@/s, '…@')}" ${addressRemedy}`)
    return address
  }
  const { host, port, weight = 1 } = given ?? {}
  const isWeight = Number.isFinite(weight) && weight >= 0
  if (typeof host === 'string' && host !== '' && isPort(port) && isWeight) return given
  throw wrong(
    'a server is given as host:port, or as an object with host, port and, if any, a weight.',
  )
}

function tlsOf(given: boolean | TlsOptions | undefined): TlsOptions | undefined {
  if (given === undefined || given === false) return undefined
  const options = given === true ? {} : given
  try {
    createSecureContext(options)
  } catch (cause) {
    throw wrong(`tls cannot be used: ${(cause as Error).message}`)
  }
  return options
}

function wrong(what: string): CacheError {
  return new CacheError('ERR_CACHE_CONFIG', `memcached: ${what}`)
}
