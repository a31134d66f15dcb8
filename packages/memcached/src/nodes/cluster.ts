import type { KeyPlacement } from '@stowage/core/driver'
import { Discovery } from '../discovery/discovery.ts'
import type { ResolvedOptions } from '../memcached-options.ts'
import type { NodeAddress } from '../node-address.ts'
import type { Router } from './dispatcher.ts'
import type { Node } from './node.ts'
import { NodePool } from './node-pool.ts'

/** The nodes given as `servers`, or those that the configuration endpoint returns. */
export class Cluster implements Router {
  readonly #pool: NodePool
  readonly #discovery: Discovery | undefined
  #onNodeUp: (node: Node) => void = () => {}
  #onNodesChange: () => void = () => {}

  constructor(options: ResolvedOptions) {
    const { servers, configurationEndpoint: endpoint, hashing, ...rest } = options
    this.#pool = new NodePool(hashing, { ...rest, onStateChange: (node) => this.#onChange(node) })
    if (endpoint === undefined) this.#pool.replace(servers)
    else {
      const onNodes = (nodes: readonly NodeAddress[]) => {
        this.#pool.replace(nodes)
        this.#onNodesChange()
      }
      const timeoutMs = rest.connectTimeoutMs + rest.timeoutMs
      this.#discovery = new Discovery({ ...rest, endpoint, timeoutMs, onNodes })
    }
  }

  get nodes(): readonly Node[] {
    return this.#pool.nodes
  }

  get placement(): KeyPlacement | undefined {
    return this.#pool.placement
  }

  nodeFor(key: string): Node | undefined {
    return this.#pool.nodeFor(key)
  }

  async ready(): Promise<void> {
    await this.#discovery?.ready()
  }

  /** Sets the listener that is called with each node that has connected. */
  onNodeUp(listener: (node: Node) => void): void {
    this.#onNodeUp = listener
  }

  /** Sets the listener that is called after the list of nodes has changed. */
  onNodesChange(listener: () => void): void {
    this.#onNodesChange = listener
  }

  async close(): Promise<void> {
    await this.#discovery?.close()
    await this.#pool.close()
  }

  #onChange(node: Node): void {
    if (node.state === 'up') this.#onNodeUp(node)
    // The node may have been removed from the cluster or replaced.
    if (node.state === 'down') this.#discovery?.pollSoon()
  }
}
