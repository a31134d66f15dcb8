import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import { CacheError, type Clock } from '@stowage/core'
import { DeadlineError, Lifecycle } from '@stowage/core/driver'
import { type NodeAddress, nodeName } from '../node-address.ts'
import type { Configuration } from './configuration.ts'
import {
  ConfigurationSource,
  type QueryResult,
  type SourceOptions,
} from './configuration-source.ts'
import { discoveryChannels } from './events.ts'
import { Poller, type PollOutcome } from './poller.ts'

type Nodes = readonly NodeAddress[]

export interface DiscoveryOptions extends SourceOptions {
  /** Poll interval in milliseconds, with a jitter of ±10 %. */
  readonly pollIntervalMs: number
  /** Use the endpoint as the only node after any error, until it returns a configuration. */
  readonly ignoreClusterErrors: boolean
  /** Called with every new list of nodes, the first included. */
  readonly onNodes: (nodes: Nodes) => void
  /** Times the polls. @default a system clock that does not keep the process alive */
  readonly clock?: Clock | undefined
  /** @default Math.random */
  readonly random?: (() => number) | undefined
}

/** For this long after a failure, `ready()` rejects with the same error instead of sending a query. */
const failureCacheMs = 1_000

/**
 * Keeps the list of a cluster's nodes up to date: polls at an interval, and earlier when a node fails. An invalid reply
 * does not change the list.
 */
export class Discovery {
  readonly #options: DiscoveryOptions
  readonly #lifecycle = new Lifecycle('memcached')
  readonly #closing = new AbortController()
  readonly #configuration = new CurrentConfiguration()
  readonly #source: ConfigurationSource
  readonly #clock: Clock
  readonly #poller: Poller
  /** The nodes of the configuration in use; empty if there is none. */
  #clusterNodes: Nodes = []
  #nodes: Nodes | undefined
  #failure: CacheError | undefined
  #failedAt = 0

  /** Does no I/O. */
  constructor(options: DiscoveryOptions) {
    const { pollIntervalMs, clock = unrefClock, random = Math.random } = options
    this.#options = options
    this.#source = new ConfigurationSource(options, this.#closing.signal)
    this.#clock = clock
    this.#poller = new Poller(() => this.#poll(), { pollIntervalMs, clock, random })
  }

  /** The nodes in use; `undefined` until the first poll has succeeded. */
  get nodes(): Nodes | undefined {
    return this.#nodes
  }

  /**
   * Returns the nodes once they are known. Polls if necessary, and settles within the deadline of the poll. The caller
   * may retry after an error.
   *
   * @throws CacheError `ERR_CACHE_UNAVAILABLE`, `ERR_CACHE_TIMEOUT`, `ERR_CACHE_CLOSED`
   */
  async ready(): Promise<Nodes> {
    if (this.#nodes === undefined) {
      // Waits for a turn of the event loop, so that a loop of retries does not keep timers and sockets waiting.
      await (this.#hasJustFailed() ? nextTurn() : this.#poller.pollNow())
      this.#lifecycle.assertOpen('discovery')
    }
    if (this.#nodes === undefined) throw this.#failure
    return this.#nodes
  }

  /** Polls earlier than planned. Called when a node fails, because it may have been removed from the cluster. */
  pollSoon(): void {
    this.#poller.pollSoon()
  }

  /** Aborts the poll in flight. */
  close(): Promise<void> {
    return this.#lifecycle.close(() => {
      this.#closing.abort(new Error('closed'))
      return this.#poller.close()
    })
  }

  #hasJustFailed(): boolean {
    return this.#failure !== undefined && this.#clock.now() - this.#failedAt < failureCacheMs
  }

  async #poll(): Promise<PollOutcome> {
    try {
      // Only the first poll keeps the process alive: callers wait for its result.
      return this.#onResult(await this.#source.query(this.#clusterNodes, this.#nodes === undefined))
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#onFailure(error)
      return 'failed'
    }
  }

  #onResult({ configuration, replaced }: QueryResult): PollOutcome {
    if (configuration === undefined) return this.#onNoConfiguration()
    if (!this.#configuration.accept(configuration, replaced)) return 'unchanged'
    this.#clusterNodes = configuration.nodes
    this.#apply(configuration.nodes, configuration.version)
    return 'changed'
  }

  #onNoConfiguration(): PollOutcome {
    if (this.#clusterNodes.length > 0) {
      throw new Error('the endpoint no longer returns a configuration')
    }
    if (this.#nodes === undefined) this.#useEndpoint(undefined)
    return 'unchanged'
  }

  #onFailure(error: unknown): void {
    const { endpoint, ignoreClusterErrors } = this.#options
    this.#failure = toCacheError(error, endpoint)
    this.#failedAt = this.#clock.now()
    discoveryChannels.failed.publish({ endpoint, error: this.#failure })
    if (ignoreClusterErrors && this.#nodes === undefined) this.#useEndpoint(this.#failure)
  }

  #useEndpoint(error: CacheError | undefined): void {
    const { endpoint } = this.#options
    discoveryChannels.singleNode.publish({ endpoint, error })
    warnSingleNode(endpoint, error)
    this.#apply([endpoint], undefined)
  }

  #apply(to: Nodes, version: number | undefined): void {
    const from = this.#nodes ?? []
    this.#nodes = to
    this.#options.onNodes(to)
    discoveryChannels.nodes.publish({ endpoint: this.#options.endpoint, from, to, version })
  }
}

const unrefClock: Clock = {
  now: () => performance.now(),
  sleep: (ms, signal) => delay(ms, undefined, { ref: false, signal }),
}

function toCacheError(error: unknown, endpoint: NodeAddress): CacheError {
  const { message } = error as Error
  return new CacheError(
    error instanceof DeadlineError ? 'ERR_CACHE_TIMEOUT' : 'ERR_CACHE_UNAVAILABLE',
    `memcached discovery failed: configuration endpoint ${nodeName(endpoint)}: ${message}`,
    { store: 'memcached', operation: 'discovery', cause: error },
  )
}

/** An older version is accepted when it arrives at least this many times in a row. */
const minStaleReplies = 3

/**
 * The configuration in use. The nodes of a cluster receive a change at different times, so an older version is accepted
 * only if all nodes return one, in as many polls in a row as there are nodes, or if the cluster itself was replaced.
 */
class CurrentConfiguration {
  #version = -1
  #nodeList = ''
  #staleReplies = 0
  #nodeCount = 0

  /**
   * Returns whether `configuration` changes the nodes in use.
   *
   * @param replaced it comes from the endpoint after a new lookup, because no known node replied
   */
  accept({ version, nodes }: Configuration, replaced: boolean): boolean {
    this.#staleReplies = version < this.#version ? this.#staleReplies + 1 : 0
    const requiredReplies = Math.max(minStaleReplies, this.#nodeCount)
    if (this.#staleReplies > 0 && this.#staleReplies < requiredReplies && !replaced) return false
    this.#staleReplies = 0
    this.#version = version
    this.#nodeCount = nodes.length
    const nodeList = format(nodes)
    // Compared as well as the version: a node replaced in place gets a new address under the same version.
    const hasChanged = nodeList !== this.#nodeList
    this.#nodeList = nodeList
    return hasChanged
  }
}

function format(nodes: readonly NodeAddress[]): string {
  return nodes.map(({ host, ip, port }) => `${host}|${ip}|${port}`).join(' ')
}

/** Endpoints that were warned about. A cache and a session store may use the same endpoint. */
const warned = new Set<string>()

/**
 * Emits a process warning, once per endpoint, that the endpoint is used as the only node. `error` is the reason; it is
 * `undefined` if the endpoint replied that it has no configuration.
 */
function warnSingleNode(endpoint: NodeAddress, error: Error | undefined): void {
  const name = nodeName(endpoint)
  if (warned.has(name)) return
  warned.add(name)
  const reason = error?.message ?? `memcached: ${name} has no cluster configuration`
  process.emitWarning(`${reason}. The endpoint is used as the only node.`, {
    type: 'StowageWarning',
    code: 'STOWAGE_MEMCACHED_SINGLE_NODE',
  })
}
