import { lookup as systemLookup } from 'node:dns/promises'
import type { ConnectionOptions } from 'node:tls'
import { withDeadline } from '@stowage/core/driver'
import type { NodeAddress } from '../node-address.ts'
import type { Configuration } from './configuration.ts'
import { queryConfiguration } from './configuration-query.ts'

export interface SourceOptions {
  /** The configuration endpoint of ElastiCache, `….cfg.….cache.amazonaws.com`, or the discovery endpoint of Memorystore. */
  readonly endpoint: NodeAddress
  /** Uses TLS if given, with the same options as the connections to the nodes. */
  readonly tls?: ConnectionOptions | undefined
  /** Deadline of a query to the endpoint, in milliseconds. A query to a node has a quarter of it. */
  readonly timeoutMs: number
  /** Resolves a host name to all its addresses. @default `lookup` of node:dns */
  readonly lookup?: ((host: string) => Promise<readonly { readonly address: string }[]>) | undefined
}

export interface QueryResult {
  /** `undefined` if the endpoint is a plain memcached. */
  readonly configuration: Configuration | undefined
  /** Whether none of the queried nodes replied, so that the cluster may have been replaced. */
  readonly replaced: boolean
}

/** How many nodes and how many addresses of the endpoint one call queries at most. */
const maxNodes = 2
const maxAddresses = 4

/** Queries for the configuration: any node of the cluster returns it, and the endpoint's name resolves to the nodes. */
export class ConfigurationSource {
  readonly #options: SourceOptions
  readonly #closing: AbortSignal
  #nextIndex = 0

  /** @param closing aborts the queries in flight */
  constructor(options: SourceOptions, closing: AbortSignal) {
    this.#options = options
    this.#closing = closing
  }

  /**
   * Queries the known nodes in rotation. If they do not return a configuration, looks up the endpoint and queries it.
   *
   * @param ref whether the query keeps the process alive
   */
  async query(nodes: readonly NodeAddress[], ref: boolean): Promise<QueryResult> {
    let hasReplied = false
    for (const node of this.#rotate(nodes)) {
      try {
        const configuration = await this.#queryNode(node, ref)
        if (configuration !== undefined) return { configuration, replaced: false }
        hasReplied = true
      } catch {
        // The next node, or the endpoint, has the same configuration.
      }
    }
    return { configuration: await this.#queryEndpoint(ref), replaced: !hasReplied }
  }

  #rotate(nodes: readonly NodeAddress[]): readonly NodeAddress[] {
    const start = nodes.length === 0 ? 0 : this.#nextIndex++ % nodes.length
    return [...nodes.slice(start), ...nodes.slice(0, start)].slice(0, maxNodes)
  }

  #queryNode(node: NodeAddress, ref: boolean): Promise<Configuration | undefined> {
    const { tls, timeoutMs } = this.#options
    return withDeadline(timeoutMs / 4, (signal) => queryConfiguration(node, { tls, signal, ref }), {
      signal: this.#closing,
      ref,
    })
  }

  /** Queries all addresses of the endpoint at once and uses the first reply. */
  #queryEndpoint(ref: boolean): Promise<Configuration | undefined> {
    const { endpoint, tls, timeoutMs, lookup = lookupAll } = this.#options
    const query = async (signal: AbortSignal) => {
      const addresses = await lookup(endpoint.host)
      signal.throwIfAborted()
      const queries = addresses
        .slice(0, maxAddresses)
        .map(({ address }) =>
          queryConfiguration({ ...endpoint, ip: address }, { tls, signal, ref }),
        )
      return Promise.any(queries).catch(({ errors }: AggregateError) => {
        throw errors[0] ?? new Error('the host name has no address')
      })
    }
    return withDeadline(timeoutMs, query, { signal: this.#closing, ref })
  }
}

function lookupAll(host: string): Promise<readonly { address: string }[]> {
  return systemLookup(host, { all: true })
}
