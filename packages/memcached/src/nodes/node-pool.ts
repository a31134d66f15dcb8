import type { KeyPlacement } from '@stowage/core/driver'
import { publishTopology } from '@stowage/core/internal'
import { type Hashing, type HashRing, hashRing } from '../hashing/hash-ring.ts'
import { type NodeAddress, nodeName } from '../node-address.ts'
import { Node, type NodeOptions } from './node.ts'
import type { PendingDeletes } from './pending-deletes.ts'

/** Of how many removed nodes the pending deletes are kept. */
const maxRemovedNodes = 100

/** The nodes in use and the ring that maps keys to them. Both are replaced in one step. */
export class NodePool {
  readonly #hashing: Hashing
  readonly #options: NodeOptions
  #nodes: readonly Node[] = []
  #ring: HashRing | undefined
  #placement: KeyPlacement | undefined
  /** Removed nodes that still have requests in flight. */
  readonly #closing = new Set<Promise<void>>()
  /** The pending deletes of removed nodes, by the name of the node, for the case that it is added again. */
  readonly #pendingDeletes = new Map<string, PendingDeletes>()

  constructor(hashing: Hashing, options: NodeOptions) {
    this.#hashing = hashing
    this.#options = options
  }

  get nodes(): readonly Node[] {
    return this.#nodes
  }

  /** Replaced with the nodes. */
  get placement(): KeyPlacement | undefined {
    return this.#placement
  }

  /** The node of a key; `undefined` while there are no nodes. */
  nodeFor(key: string): Node | undefined {
    return this.#ring && this.#nodes[this.#ring.indexOf(key)]
  }

  /** Nodes that remain keep their connection. Removed nodes close theirs when no request is in flight. */
  replace(addresses: readonly NodeAddress[]): void {
    const kept = new Set(addresses.map(targetOf))
    const previous = new Map(this.#nodes.map((node) => [targetOf(node.address), node]))
    const isFirst = this.#ring === undefined
    for (const [target, node] of previous) {
      if (kept.has(target)) continue
      publish('removed', node.address)
      this.#remove(node)
    }
    this.#nodes = addresses.map((address) => {
      const existing = previous.get(targetOf(address))
      if (existing === undefined && !isFirst) publish('added', address)
      const node = existing ?? this.#add(address)
      previous.delete(targetOf(address))
      node.address = address
      return node
    })
    const ring = hashRing(this.#hashing, addresses)
    this.#ring = ring
    this.#placement = { nodeCount: addresses.length, nodeOf: (key) => ring.indexOf(key) }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#nodes.map((node) => node.close()), ...this.#closing])
  }

  #add(address: NodeAddress): Node {
    const name = nodeName(address)
    const pendingDeletes = this.#pendingDeletes.get(name)
    this.#pendingDeletes.delete(name)
    return new Node(address, this.#options, pendingDeletes)
  }

  #remove(node: Node): void {
    this.#pendingDeletes.set(nodeName(node.address), node.pendingDeletes)
    const [oldest] = this.#pendingDeletes.keys()
    if (oldest !== undefined && this.#pendingDeletes.size > maxRemovedNodes) {
      this.#pendingDeletes.delete(oldest)
    }
    const closing = node.close().finally(() => this.#closing.delete(closing))
    this.#closing.add(closing)
  }
}

function publish(change: 'added' | 'removed', address: NodeAddress): void {
  publishTopology({ store: 'memcached', change, server: nodeName(address) })
}

/** Identifies what a connection leads to. A node with a new IP address needs a new connection. */
function targetOf(address: NodeAddress): string {
  return `${nodeName(address)}|${address.ip}`
}
