import { setTimeout as delay } from 'node:timers/promises'
import { CacheError, type Clock } from '@stowage/core'
import { DeadlineError, Lifecycle } from '@stowage/core/driver'
import { type NodeAddress, nodeName } from '../node-address.ts'
import { type Answer, ConfigurationSource, type SourceOptions } from './configuration-source.ts'
import { KnownConfiguration } from './current-configuration.ts'
import { discoveryChannels } from './events.ts'
import { type Outcome, Poller } from './poller.ts'
import { noticePlain } from './single-node-warning.ts'

type Nodes = readonly NodeAddress[]

export interface DiscoveryOptions extends SourceOptions {
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
}

const defaultPollMs = 60_000
/** For so long after a failure it is the answer to whoever asks. */
const failureMs = 1_000

/**
 * The nodes of a cluster, kept up to date: every minute, and early when a node fails. Nodes are asked in turn; where
 * they do not answer, the endpoint is looked up again. An answer that cannot be understood changes nothing.
 */
export class Discovery {
  readonly #options: DiscoveryOptions
  readonly #lifecycle = new Lifecycle('memcached')
  readonly #closing = new AbortController()
  readonly #known = new KnownConfiguration()
  readonly #source: ConfigurationSource
  readonly #clock: Clock
  readonly #poller: Poller
  /** Those of the configuration in force, empty without one. */
  #members: Nodes = []
  #nodes: Nodes | undefined
  #failure: CacheError | undefined
  #failedAt = 0

  /** Does no I/O. */
  constructor(options: DiscoveryOptions) {
    const { pollMs = defaultPollMs, clock = quietClock, random = Math.random } = options
    this.#options = options
    this.#source = new ConfigurationSource(options, this.#closing.signal)
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
      // Nobody waits for a poll once there are nodes.
      return this.#learn(await this.#source.ask(this.#members, this.#nodes === undefined))
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#failed(error)
      return 'failed'
    }
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
    noticePlain(endpoint, error)
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

function codedError(error: unknown, endpoint: NodeAddress): CacheError {
  const { message } = error as Error
  return new CacheError(
    error instanceof DeadlineError ? 'ERR_CACHE_TIMEOUT' : 'ERR_CACHE_UNAVAILABLE',
    `memcached: the nodes cannot be asked for at the configuration endpoint ${nodeName(endpoint)}: ${message}`,
    { store: 'memcached', operation: 'discovery', cause: error },
  )
}
