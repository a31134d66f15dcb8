import type { Hashing, HashRing } from '../hashing/hash-ring.ts'
import { hashRing } from '../hashing/hash-ring.ts'
import { type NodeAddress, nodeName } from '../node-address.ts'
import { Node, type NodeOptions } from './node.ts'

/** The nodes in use and the ring that spreads the keys over them, changed in one step. */
export class Nodes {
  readonly #hashing: Hashing
  readonly #options: NodeOptions
  #nodes: readonly Node[] = []
  #ring: HashRing | undefined
  /** Those that were taken out and still have something under way. */
  readonly #leaving = new Set<Promise<void>>()

  constructor(hashing: Hashing, options: NodeOptions) {
    this.#hashing = hashing
    this.#options = options
  }

  get all(): readonly Node[] {
    return this.#nodes
  }

  /** The node of a key, once there are nodes. */
  of(key: string): Node | undefined {
    return this.#ring && this.#nodes[this.#ring.indexOf(key)]
  }

  /** Nodes that stay keep their connection; those that go end it when what is under way is done. */
  replace(addresses: readonly NodeAddress[]): void {
    const before = new Map(this.#nodes.map((node) => [placeOf(node.address), node]))
    this.#nodes = addresses.map((address) => {
      const kept = before.get(placeOf(address))
      before.delete(placeOf(address))
      if (kept === undefined) return new Node(address, this.#options)
      kept.address = address
      return kept
    })
    this.#ring = hashRing(this.#hashing, addresses)
    for (const node of before.values()) this.#retire(node)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#nodes.map((node) => node.close()), ...this.#leaving])
  }

  #retire(node: Node): void {
    const leaving = node.close().finally(() => this.#leaving.delete(leaving))
    this.#leaving.add(leaving)
  }
}

/** What a connection leads to. */
function placeOf(address: NodeAddress): string {
  return `${nodeName(address)}|${address.ip ?? ''}`
}
