import type { Discovery } from './discovery.ts'
import type { Router } from './memcached-store.ts'
import type { Node } from './node.ts'
import type { Nodes } from './nodes.ts'

/** Nodes that were named, or are found and followed by discovery. */
export class Topology implements Router {
  readonly #nodes: Nodes
  readonly #discovery: Discovery | undefined

  constructor(nodes: Nodes, discovery: Discovery | undefined) {
    this.#nodes = nodes
    this.#discovery = discovery
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

  async close(): Promise<void> {
    await this.#discovery?.close()
    await this.#nodes.close()
  }
}
