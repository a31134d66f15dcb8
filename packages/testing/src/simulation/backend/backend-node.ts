import type { Clock, StoreLimits } from '@stowage/core'
import { ReferenceStore, type StoredItem } from '../../reference-store.ts'
import type { Random } from '../world/random.ts'
import type { World } from '../world/world.ts'

type Items = ReadonlyMap<string, StoredItem>

/** A copy of a node, which applies the writes of the node later. */
export class NodeCopy {
  readonly store: ReferenceStore
  /** The number of writes that it has applied. */
  applied = 0
  isPartitioned = false
  /** No write is applied before those in front of it. */
  appliesAt = 0
  readonly waiting: (() => void)[] = []

  constructor(store: ReferenceStore) {
    this.store = store
  }

  apply(write: () => void): void {
    if (this.isPartitioned) this.waiting.push(write)
    else write()
  }

  reconnect(): void {
    this.isPartitioned = false
    for (const write of this.waiting.splice(0)) write()
  }
}

/** A server of the simulated backend. */
export class BackendNode {
  readonly name: string
  /** Places it on the ring, differently in each run. */
  readonly place: number
  readonly store: ReferenceStore
  readonly copies: readonly NodeCopy[]
  isDown = false
  /** The number of writes so far. */
  written = 0
  readonly #world: World
  readonly #random: Random
  readonly #lagMs: number

  constructor(
    world: World,
    name: string,
    options: {
      readonly clock: Clock
      readonly limits: Partial<StoreLimits>
      readonly copies: number
      readonly lagMs: number
      readonly random: Random
    },
  ) {
    const { clock, limits } = options
    this.name = name
    this.place = options.random.integer(0, 0xffffffff)
    this.#world = world
    this.#random = options.random
    this.#lagMs = options.lagMs
    this.store = new ReferenceStore({ clock, limits })
    this.copies = Array.from(
      { length: options.copies },
      () => new NodeCopy(new ReferenceStore({ clock, limits })),
    )
  }

  /** Lets the copies follow a write of these keys; `undefined` stands for all. */
  replicate(keys: readonly string[] | undefined): void {
    this.written++
    if (this.copies.length === 0) return
    const { written } = this
    const items = this.store.items
    const changed: Items | readonly (readonly [string, StoredItem | undefined])[] =
      keys === undefined ? new Map(items) : keys.map((key) => [key, items.get(key)] as const)
    for (const copy of this.copies) {
      const at = this.#world.now + this.#random.integer(0, this.#lagMs)
      copy.appliesAt = Math.max(copy.appliesAt, at)
      const write = () => {
        if (keys === undefined) copy.store.items.clear()
        for (const [key, item] of changed) {
          if (item === undefined) copy.store.items.delete(key)
          else copy.store.items.set(key, item)
        }
        copy.applied = written
      }
      this.#world.schedule(copy.appliesAt - this.#world.now, () => copy.apply(write))
    }
  }

  snapshot(): Items {
    return new Map(this.store.items)
  }

  /** Goes back to the items of a snapshot. Returns the keys whose items are not the same. */
  restore(items: Items): string[] {
    const current = this.store.items
    const keys = new Set([...current.keys(), ...items.keys()])
    const changed = [...keys].filter((key) => current.get(key) !== items.get(key))
    current.clear()
    for (const [key, item] of items) current.set(key, item)
    this.replicate(undefined)
    return changed
  }
}
