import { lookup as systemLookup } from 'node:dns/promises'
import type { ConnectionOptions } from 'node:tls'
import { withDeadline } from '@stowage/core/driver'
import type { NodeAddress } from '../node-address.ts'
import type { Configuration } from './configuration.ts'
import { queryConfiguration } from './configuration-query.ts'

export interface SourceOptions {
  /** The configuration endpoint, `….cfg.….cache.amazonaws.com`, or the discovery endpoint of Memorystore. */
  readonly endpoint: NodeAddress
  /** As for the nodes. Without it nothing is encrypted. */
  readonly tls?: ConnectionOptions | undefined
  /** How long the endpoint may take to answer, in milliseconds; a node gets a quarter of it. @default 2_000 */
  readonly timeoutMs?: number | undefined
  /** All addresses of a name. @default that of node:dns */
  readonly lookup?: ((host: string) => Promise<readonly { readonly address: string }[]>) | undefined
}

export interface Answer {
  /** `undefined` from a plain memcached. */
  readonly configuration: Configuration | undefined
  /** Whether none of the known nodes is there any more, as far as was asked. */
  readonly replaced: boolean
}

const defaultTimeoutMs = 2_000
/** How many nodes, and how many addresses of the endpoint, are asked at most. */
const nodesAsked = 2
const addressesAsked = 4

/** Where the configuration comes from: every node of a cluster knows it, and the endpoint's name leads to the nodes. */
export class ConfigurationSource {
  readonly #options: SourceOptions
  readonly #timeoutMs: number
  readonly #closing: AbortSignal
  #turn = 0

  /** @param closing ends what is under way */
  constructor(options: SourceOptions, closing: AbortSignal) {
    this.#options = options
    this.#timeoutMs = options.timeoutMs ?? defaultTimeoutMs
    this.#closing = closing
  }

  /**
   * Asks the nodes in turn; where they have no answer, the endpoint, whose name is looked up again.
   *
   * @param ref whether the process stays alive for the answer
   */
  async ask(nodes: readonly NodeAddress[], ref: boolean): Promise<Answer> {
    let alive = false
    for (const node of this.#next(nodes)) {
      try {
        const configuration = await this.#askNode(node, ref)
        if (configuration !== undefined) return { configuration, replaced: false }
        alive = true
      } catch {
        // Another one will know.
      }
    }
    return { configuration: await this.#askEndpoint(ref), replaced: !alive }
  }

  #next(nodes: readonly NodeAddress[]): readonly NodeAddress[] {
    const start = nodes.length === 0 ? 0 : this.#turn++ % nodes.length
    return [...nodes.slice(start), ...nodes.slice(0, start)].slice(0, nodesAsked)
  }

  #askNode(node: NodeAddress, ref: boolean): Promise<Configuration | undefined> {
    const { tls } = this.#options
    return withDeadline(
      this.#timeoutMs / 4,
      (signal) => queryConfiguration(node, { tls, signal, ref }),
      { signal: this.#closing, ref },
    )
  }

  /** Asks all addresses at once; the first answer counts. */
  #askEndpoint(ref: boolean): Promise<Configuration | undefined> {
    const { endpoint, tls, lookup = lookupAll } = this.#options
    const ask = async (signal: AbortSignal) => {
      const addresses = await lookup(endpoint.host)
      signal.throwIfAborted()
      const answers = addresses
        .slice(0, addressesAsked)
        .map(({ address }) =>
          queryConfiguration({ ...endpoint, ip: address }, { tls, signal, ref }),
        )
      return Promise.any(answers).catch(({ errors }: AggregateError) => {
        throw errors[0] ?? new Error('the name has no address')
      })
    }
    return withDeadline(this.#timeoutMs, ask, { signal: this.#closing, ref })
  }
}

function lookupAll(host: string): Promise<readonly { address: string }[]> {
  return systemLookup(host, { all: true })
}
