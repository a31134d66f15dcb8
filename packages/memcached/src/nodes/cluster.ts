import { Discovery } from '../discovery/discovery.ts'
import type { ResolvedOptions } from '../memcached-options.ts'
import type { Router } from './dispatcher.ts'
import type { Node } from './node.ts'
import { Nodes } from './node-pool.ts'

/** The nodes that were named, or those a configuration endpoint tells. */
export class Topology implements Router {
  readonly #nodes: Nodes
  readonly #discovery: Discovery | undefined
  #onUp: (node: Node) => void = () => {}

  constructor(options: ResolvedOptions) {
    const { servers, configurationEndpoint: endpoint, hashing, ...rest } = options
    this.#nodes = new Nodes(hashing, { ...rest, onChange: (node) => this.#changed(node) })
    if (endpoint === undefined) this.#nodes.replace(servers)
    else {
      const onNodes = this.#nodes.replace.bind(this.#nodes)
      const timeoutMs = rest.connectTimeoutMs + rest.timeoutMs
      this.#discovery = new Discovery({ ...rest, endpoint, timeoutMs, onNodes })
    }
  }

  get all(): readonly Node[] {
    return this.#nodes.all
  }

  of(key: string): Node | undefined {
    return this.#nodes.of(key)
  }

  async known(): Promise<void> {
    await this.#discovery?.first()
  }

  /** Has `listener` told of each node that has come up. */
  onUp(listener: (node: Node) => void): void {
    this.#onUp = listener
  }

  async close(): Promise<void> {
    await this.#discovery?.close()
    await this.#nodes.close()
  }

  #changed(node: Node): void {
    if (node.state === 'up') this.#onUp(node)
    // It may be gone for good, and another in its place.
    if (node.state === 'down') this.#discovery?.hurry()
  }
}
