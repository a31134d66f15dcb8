import { type Hashing, type HashRing, hashRing } from '../hashing/hash-ring.ts'
import type { Router } from './dispatcher.ts'
import type { Node } from './node.ts'

/** The nodes that are not down, and a ring of their own for them. */
export class LivingNodes implements Router {
  readonly #nodes: Router
  readonly #hashing: Hashing
  #living: readonly Node[] = []
  #ring: HashRing | undefined

  constructor(nodes: Router, hashing: Hashing) {
    this.#nodes = nodes
    this.#hashing = hashing
  }

  get all(): readonly Node[] {
    return this.#nodes.all.filter(({ state }) => state !== 'down')
  }

  of(key: string): Node | undefined {
    const living = this.all
    const isSame =
      living.length === this.#living.length && living.every((node, i) => node === this.#living[i])
    if (!isSame) {
      this.#living = living
      this.#ring = living.length === 0 ? undefined : hashRing(this.#hashing, living.map(addressOf))
    }
    return this.#ring && living[this.#ring.indexOf(key)]
  }

  async known(): Promise<void> {
    if (this.all.length === 0) throw new Error('no node is left')
  }

  /** They are closed by whom they belong to. */
  async close(): Promise<void> {}
}

function addressOf({ address }: Node): Node['address'] {
  return address
}
