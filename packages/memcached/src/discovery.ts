import { lookup as systemLookup } from 'node:dns/promises'
import { setTimeout as delay } from 'node:timers/promises'
import type { ConnectionOptions } from 'node:tls'
import { CacheError, type Clock, Lifecycle } from '@stowage/core'
import type { Configuration } from './configuration.ts'
import { queryConfiguration } from './configuration-query.ts'
import { timedOut, within } from './deadline.ts'
import { discoveryChannels } from './discovery-events.ts'
import { KnownConfiguration } from './known-configuration.ts'
import { type NodeAddress, nodeName } from './node-address.ts'
import { type Outcome, Poller } from './poller.ts'

type Nodes = readonly NodeAddress[]

export interface DiscoveryOptions {
  /** The configuration endpoint, `….cfg.….cache.amazonaws.com`, or the discovery endpoint of Memorystore. */
  readonly endpoint: NodeAddress
  /** As for the nodes. Without it nothing is encrypted. */
  readonly tls?: ConnectionOptions | undefined
  /** How long the endpoint may take to answer, in milliseconds; a node gets a quarter of it. @default 2_000 */
  readonly timeoutMs?: number | undefined
  /** Between two polls, in milliseconds, give or take a tenth. @default 60_000 */
  readonly pollMs?: number | undefined
  /** Use the endpoint as the only node until there is a configuration, whatever the failure. @default false */
  readonly ignoreClusterErrors?: boolean | undefined
  /** Called with every new list, the first included. */
  readonly onNodes?: ((nodes: Nodes) => void) | undefined
  /** Time between polls. @default the system's, keeping no process alive */
  readonly clock?: Clock | undefined
  /** @default Math.random */
  readonly random?: (() => number) | undefined
  /** All addresses of a name. @default that of node:dns */
  readonly lookup?: ((host: string) => Promise<readonly { readonly address: string }[]>) | undefined
}

interface Answer {
  readonly configuration: Configuration | undefined
  /** Whether none of the known nodes is there any more, as far as was asked. */
  readonly replaced: boolean
}

const defaultTimeoutMs = 2_000
const defaultPollMs = 60_000
/** How many nodes, and how many addresses of the endpoint, are asked in one poll. */
const nodesAsked = 2
const addressesAsked = 4
/** For so long after a failure it is the answer to whoever asks. */
const failureMs = 1_000
/** Endpoints the process was told of: a cache and a session store may share one. */
const noticed = new Set<string>()

/**
 * The nodes of a cluster, kept up to date: every minute, and early when a node fails. Nodes are asked in turn; where
 * they do not answer, the endpoint is looked up again. An answer that cannot be understood changes nothing.
 */
export class Discovery {
  readonly #options: DiscoveryOptions
  readonly #lifecycle = new Lifecycle('memcached')
  readonly #closing = new AbortController()
  readonly #known = new KnownConfiguration()
  readonly #clock: Clock
  readonly #poller: Poller
  /** Those of the configuration in force, empty without one. */
  #members: Nodes = []
  #nodes: Nodes | undefined
  #turn = 0
  #failure: CacheError | undefined
  #failedAt = 0

  /** Does no I/O. */
  constructor(options: DiscoveryOptions) {
    const { pollMs = defaultPollMs, clock = quietClock, random = Math.random } = options
    this.#options = options
    this.#clock = clock
    this.#poller = new Poller(() => this.#poll(), { pollMs, clock, random })
  }

  /** The nodes in use; `undefined` before the first success. */
  get nodes(): Nodes | undefined {
    return this.#nodes
  }

  /**
   * The nodes, once they are known. Begins to ask, if need be; settles within the timeout. A later call tries again.
   *
   * @throws CacheError `ERR_CACHE_UNAVAILABLE`, `ERR_CACHE_TIMEOUT`, `ERR_CACHE_CLOSED`
   */
  async first(): Promise<Nodes> {
    if (this.#nodes === undefined) {
      this.#lifecycle.assertOpen('discovery')
      if (!this.#failedJustNow()) await this.#poller.now()
      this.#lifecycle.assertOpen('discovery')
    }
    if (this.#nodes === undefined) throw this.#failure
    return this.#nodes
  }

  /** Says that a node has failed: the list may have changed. */
  hurry(): void {
    this.#poller.hurry()
  }

  /** Ends what is under way. */
  close(): Promise<void> {
    return this.#lifecycle.close(() => {
      this.#closing.abort(new Error('closed'))
      return this.#poller.close()
    })
  }

  #failedJustNow(): boolean {
    return this.#failure !== undefined && this.#clock.now() - this.#failedAt < failureMs
  }

  async #poll(): Promise<Outcome> {
    try {
      return this.#learn(await this.#ask())
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#failed(error)
      return 'failed'
    }
  }

  async #ask(): Promise<Answer> {
    let alive = false
    for (const node of this.#nextMembers()) {
      try {
        const configuration = await this.#askMember(node)
        if (configuration !== undefined) return { configuration, replaced: false }
        alive = true
      } catch {
        // Another one will know.
      }
    }
    return { configuration: await this.#askEndpoint(), replaced: !alive }
  }

  #nextMembers(): Nodes {
    const { length } = this.#members
    const next = this.#members.map((_, i) => this.#members[(this.#turn + i) % length])
    this.#turn++
    return next.slice(0, nodesAsked) as Nodes
  }

  #askMember(node: NodeAddress): Promise<Configuration | undefined> {
    return this.#within(this.#timeoutMs / 4, (signal) => this.#query(node, signal))
  }

  /** Asks all addresses at once; the first answer counts. */
  #askEndpoint(): Promise<Configuration | undefined> {
    const { endpoint, lookup = lookupAll } = this.#options
    return this.#within(this.#timeoutMs, async (signal) => {
      const addresses = await lookup(endpoint.host)
      signal.throwIfAborted()
      const answers = addresses
        .slice(0, addressesAsked)
        .map(({ address }) => this.#query({ ...endpoint, ip: address }, signal))
      return Promise.any(answers).catch(({ errors }: AggregateError) => {
        throw errors[0] ?? new Error('the name has no address')
      })
    })
  }

  #query(node: NodeAddress, signal: AbortSignal): Promise<Configuration | undefined> {
    return queryConfiguration(node, { tls: this.#options.tls, signal, ref: this.#isAwaited })
  }

  #within<T>(ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return within(ms, this.#closing.signal, this.#isAwaited, work)
  }

  /** Nobody waits for a poll once there are nodes. */
  get #isAwaited(): boolean {
    return this.#nodes === undefined
  }

  get #timeoutMs(): number {
    return this.#options.timeoutMs ?? defaultTimeoutMs
  }

  #learn({ configuration, replaced }: Answer): Outcome {
    if (configuration === undefined) return this.#isPlain()
    if (!this.#known.offer(configuration, replaced)) return 'same'
    this.#members = configuration.nodes
    this.#apply(configuration.nodes, configuration.version)
    return 'changed'
  }

  #isPlain(): Outcome {
    if (this.#members.length > 0) throw new Error('the endpoint has no configuration any more')
    if (this.#nodes === undefined) this.#useEndpoint(undefined)
    return 'same'
  }

  #failed(error: unknown): void {
    const { endpoint, ignoreClusterErrors = false } = this.#options
    this.#failure = codedError(error, endpoint)
    this.#failedAt = this.#clock.now()
    discoveryChannels.failed.publish({ endpoint, error: this.#failure })
    if (ignoreClusterErrors && this.#nodes === undefined) this.#useEndpoint(this.#failure)
  }

  #useEndpoint(error: CacheError | undefined): void {
    const { endpoint } = this.#options
    discoveryChannels.plain.publish({ endpoint, error })
    notice(endpoint, error)
    this.#apply([endpoint], undefined)
  }

  #apply(to: Nodes, version: number | undefined): void {
    const from = this.#nodes ?? []
    this.#nodes = to
    this.#options.onNodes?.(to)
    discoveryChannels.nodes.publish({ endpoint: this.#options.endpoint, from, to, version })
  }
}

const quietClock: Clock = {
  now: () => performance.now(),
  sleep: (ms, signal) => delay(ms, undefined, { ref: false, ...(signal && { signal }) }),
}

function lookupAll(host: string): Promise<readonly { address: string }[]> {
  return systemLookup(host, { all: true })
}

function codedError(error: unknown, endpoint: NodeAddress): CacheError {
  const { message } = error as Error
  return new CacheError(
    message === timedOut ? 'ERR_CACHE_TIMEOUT' : 'ERR_CACHE_UNAVAILABLE',
    `memcached: the nodes cannot be asked for at the configuration endpoint ${nodeName(endpoint)}: ${message}`,
    { store: 'memcached', operation: 'discovery', cause: error },
  )
}

function notice(endpoint: NodeAddress, error: CacheError | undefined): void {
  const name = nodeName(endpoint)
  if (noticed.has(name)) return
  noticed.add(name)
  const reason = error?.message ?? `${name} has no cluster configuration, as a plain memcached`
  process.emitWarning(`${reason}. It is used as the only node.`, {
    type: 'StowageWarning',
    code: 'STOWAGE_PLAIN_MEMCACHED',
  })
}
