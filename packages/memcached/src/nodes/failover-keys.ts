import type { Router } from './dispatcher.ts'
import type { Node } from './node.ts'

const maxKeys = 10_000

/** Keys that are stored on another node than their own, with that node. At most one node has such a value of a key. */
export class FailoverKeys {
  readonly #cluster: Router
  readonly #nodes = new Map<string, Node>()

  constructor(cluster: Router) {
    this.#cluster = cluster
  }

  /** Records that `node`, or none, has the value of the key from now on. Deletes the value of the node before it. */
  move(key: string, node: Node | undefined): void {
    const previous = this.#nodes.get(key)
    if (previous !== undefined && previous !== node) previous.deleteLater(key)
    this.#nodes.delete(key)
    if (node === undefined) return
    this.#nodes.set(key, node)
    const [oldest] = this.#nodes.keys()
    if (oldest !== undefined && this.#nodes.size > maxKeys) this.move(oldest, undefined)
  }

  /** Deletes the values that other nodes have stored for a node. */
  onNodeUp(node: Node): void {
    for (const key of this.#nodes.keys()) {
      if (this.#cluster.nodeFor(key) === node) this.move(key, undefined)
    }
  }

  /** Deletes the values of the keys that have a healthy node now. That may be the one that stores the value. */
  onNodesChange(): void {
    for (const [key, node] of this.#nodes) {
      const owner = this.#cluster.nodeFor(key)
      if (owner === node) this.#nodes.delete(key)
      else if (owner?.state !== 'down') this.move(key, undefined)
    }
  }
}
