import { type Hashing, type HashRing, hashRing } from '../hashing/hash-ring.ts'
import type { Router } from './dispatcher.ts'
import type { Node } from './node.ts'

/** The nodes that are not down, with a ring of their own. */
export class HealthyNodes implements Router {
  readonly #cluster: Router
  readonly #hashing: Hashing
  /** The nodes of `#ring`. */
  #ringNodes: readonly Node[] = []
  #ring: HashRing | undefined

  constructor(cluster: Router, hashing: Hashing) {
    this.#cluster = cluster
    this.#hashing = hashing
  }

  get nodes(): readonly Node[] {
    return this.#cluster.nodes.filter(({ state }) => state !== 'down')
  }

  nodeFor(key: string): Node | undefined {
    const { nodes } = this
    const isCurrent =
      nodes.length === this.#ringNodes.length &&
      nodes.every((node, index) => node === this.#ringNodes[index])
    if (!isCurrent) {
      this.#ringNodes = nodes
      this.#ring = nodes.length === 0 ? undefined : hashRing(this.#hashing, nodes.map(addressOf))
    }
    return this.#ring && nodes[this.#ring.indexOf(key)]
  }

  async ready(): Promise<void> {
    if (this.nodes.length === 0) throw new Error('all nodes are down')
  }

  /** Does nothing: the cluster closes its nodes. */
  async close(): Promise<void> {}
}

function addressOf({ address }: Node): Node['address'] {
  return address
}
