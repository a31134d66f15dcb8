import type { Clock } from '@stowage/core'
import { hashOf, Random } from '../world/random.ts'
import type { World } from '../world/world.ts'
import { BackendNode } from './backend-node.ts'
import { type BackendTraits, defaultTraits } from './traits.ts'

const epoch = Date.UTC(2026, 0, 1)

/** The servers that all processes share. */
export class Backend {
  readonly traits: BackendTraits
  readonly world: World
  readonly clock: Clock
  /** Called with each key that the backend lost. */
  onLoss: (key: string) => void = () => {}
  /** Called when nodes were added, removed or replaced. */
  onNodeChange: () => void = () => {}
  /** Called when the list of nodes has changed. */
  onNodes: (nodes: readonly BackendNode[]) => void = () => {}
  #nodes: readonly BackendNode[]
  #created = 0
  readonly #random: Random

  constructor(world: World, traits: Partial<BackendTraits>, seed: number) {
    this.world = world
    this.traits = { ...defaultTraits, ...traits }
    this.#random = new Random(hashOf(seed, 'backend'))
    this.clock = { now: () => epoch + Math.floor(world.now), sleep: () => Promise.resolve() }
    this.#nodes = Array.from({ length: this.traits.nodes }, () => this.#createNode())
  }

  get nodes(): readonly BackendNode[] {
    return this.#nodes
  }

  /** Deletes one of the keys that exist, as a backend short of memory does. */
  evict(choice: number): void {
    const keys = this.#nodes.flatMap((node) => [...node.store.items.keys()])
    const chosen = keys[choice % Math.max(1, keys.length)]
    this.evictAll((key) => key === chosen)
  }

  /** Deletes all keys of a kind. */
  evictAll(isEvicted: (key: string) => boolean): void {
    for (const node of this.#nodes) {
      for (const key of [...node.store.items.keys()].filter(isEvicted)) {
        node.store.items.delete(key)
        node.replicate([key])
        this.world.log(node.name, `evicts ${key}`)
        this.onLoss(key)
      }
    }
  }

  /** Replaces the items of a node by those of a snapshot. */
  restore(node: BackendNode, items: ReturnType<BackendNode['snapshot']>): void {
    if (items.size > 0) this.onNodeChange()
    for (const key of node.restore(items)) this.onLoss(key)
  }

  addNode(node: BackendNode = this.#createNode()): BackendNode {
    this.#changeNodes([...this.#nodes, node])
    return node
  }

  removeNode(node: BackendNode): void {
    this.#changeNodes(this.#nodes.filter((other) => other !== node))
  }

  #changeNodes(nodes: readonly BackendNode[]): void {
    this.#nodes = nodes
    this.onNodeChange()
    this.onNodes(nodes)
  }

  #createNode(): BackendNode {
    const { ttlStep, valueBytes, copies, lagMs } = this.traits
    const options = { clock: this.clock, limits: { ttlStep, valueBytes }, copies, lagMs }
    this.#created++
    const name = `n${this.#created}`
    return new BackendNode(this.world, name, { ...options, random: this.#random })
  }
}

/** The node of a key, by rendezvous hashing: adding or removing a node moves only the keys of that node. */
export function nodeOf(key: string, nodes: readonly BackendNode[]): BackendNode | undefined {
  if (nodes.length <= 1) return nodes[0]
  let best: BackendNode | undefined
  let bestScore = -1
  for (const node of nodes) {
    const score = hashOf(node.place, key)
    if (score > bestScore) {
      best = node
      bestScore = score
    }
  }
  return best
}
