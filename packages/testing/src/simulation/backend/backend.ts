import type { Clock } from '@stowage/core'
import { hashOf, Random } from '../world/random.ts'
import type { World } from '../world/world.ts'
import { BackendNode } from './backend-node.ts'

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

/** What the simulated backend is like. */
export interface BackendTraits {
  /** Whether it can list its keys. @default true */
  readonly scan: boolean
  /** Granularity of a ttl, in milliseconds. @default 1 */
  readonly ttlStep: number
  /** Maximum size of a value, in bytes. @default Infinity */
  readonly valueBytes: number
  /** Number of nodes over which keys are distributed. @default 1 */
  readonly nodes: number
  /** Number of copies that lag behind their node and serve `'session'` and `'eventual'` reads. @default 0 */
  readonly copies: number
  /** Maximum time until a copy has a write, in milliseconds. @default 50 */
  readonly lagMs: number
  /** Whether requests of one process to one node arrive in order, as on one connection. @default true */
  readonly ordered: boolean
  /** Whether it never loses an item before it expires. @default false */
  readonly durable: boolean
  /** Whether processes can read its clock. @default true */
  readonly time: boolean
  /** Whether processes can read how long an item still exists. @default true */
  readonly revealsTtl: boolean
  /** Selects a variant of the scenario. @default 0 */
  readonly variant: number
}

export const defaultTraits: BackendTraits = {
  scan: true,
  ttlStep: 1,
  valueBytes: Infinity,
  nodes: 1,
  copies: 0,
  lagMs: 50,
  ordered: true,
  durable: false,
  time: true,
  revealsTtl: true,
  variant: 0,
}
