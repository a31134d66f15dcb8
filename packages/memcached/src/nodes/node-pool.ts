import type { Hashing, HashRing } from '../hashing/hash-ring.ts'
import { hashRing } from '../hashing/hash-ring.ts'
import { type NodeAddress, nodeName } from '../node-address.ts'
import { Node, type NodeOptions } from './node.ts'

/** The nodes in use and the ring that maps keys to them. Both are replaced in one step. */
export class NodePool {
  readonly #hashing: Hashing
  readonly #options: NodeOptions
  #nodes: readonly Node[] = []
  #ring: HashRing | undefined
  /** Removed nodes that still have requests in flight. */
  readonly #closing = new Set<Promise<void>>()

  constructor(hashing: Hashing, options: NodeOptions) {
    this.#hashing = hashing
    this.#options = options
  }

  get nodes(): readonly Node[] {
    return this.#nodes
  }

  /** The node of a key; `undefined` while there are no nodes. */
  nodeFor(key: string): Node | undefined {
    return this.#ring && this.#nodes[this.#ring.indexOf(key)]
  }

  /** Nodes that remain keep their connection. Removed nodes close theirs when no request is in flight. */
  replace(addresses: readonly NodeAddress[]): void {
    const previous = new Map(this.#nodes.map((node) => [targetOf(node.address), node]))
    this.#nodes = addresses.map((address) => {
      const kept = previous.get(targetOf(address))
      previous.delete(targetOf(address))
      if (kept === undefined) return new Node(address, this.#options)
      kept.address = address
      return kept
    })
    this.#ring = hashRing(this.#hashing, addresses)
    for (const node of previous.values()) this.#remove(node)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#nodes.map((node) => node.close()), ...this.#closing])
  }

  #remove(node: Node): void {
    const closing = node.close().finally(() => this.#closing.delete(closing))
    this.#closing.add(closing)
  }
}

/** Identifies what a connection leads to. A node with a new IP address needs a new connection. */
function targetOf(address: NodeAddress): string {
  return `${nodeName(address)}|${address.ip ?? ''}`
}
