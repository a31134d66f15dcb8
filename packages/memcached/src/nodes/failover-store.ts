import { type ByteStore, type Payload, type StoreOperation, wrapStore } from '@stowage/core'
import { isUnreachable } from '@stowage/core/driver'
import type { Router } from './dispatcher.ts'
import type { Node } from './node.ts'

/** How long what was set instead on another node may live there. */
const substituteTtl = 60_000
/** Most of those to be remembered. */
const mostKept = 10_000

/**
 * A store that goes on while a node is down: what would be asked of it is a miss, or is asked of `substitute`, a store
 * on the other nodes. What the node could not be told it has to forget before it is used again, so that nothing stale
 * comes back with it; and so have the others what they kept for it.
 */
export class Lenience {
  readonly store: ByteStore
  readonly #router: Router
  readonly #others: Router
  readonly #substitute: ByteStore | undefined
  /** Keys that are kept on another node, and on which. */
  readonly #kept = new Map<string, Node>()

  constructor(store: ByteStore, router: Router, others: Router, substitute: ByteStore | undefined) {
    this.#router = router
    this.#others = others
    this.#substitute = substitute
    const instead = this.#instead()
    this.store = wrapStore(store, (operation, call, args) => {
      if (operation === 'ping') return this.#ping(call) as never
      const otherwise = instead[operation]
      if (otherwise === undefined) return call()
      return (call() as Promise<never>).catch((error: unknown) => {
        if (isUnreachable(error)) return otherwise(...(args as never[])) as never
        throw error
      })
    })
  }

  /** To be told when a node is up: what others kept for it is not needed any more. */
  isUp(node: Node): void {
    for (const [key, other] of this.#kept) {
      if (this.#router.of(key) !== node) continue
      this.#kept.delete(key)
      other.forget(key)
    }
  }

  /** What is done in place of a call that has failed; nothing for those whose every answer would be a lie. */
  #instead(): Partial<Record<StoreOperation, (...args: never[]) => Promise<unknown>>> {
    const get = (key: string) => this.#ask(undefined, (store) => store.get(key))
    const set = (key: string, item: Payload, ttl?: number) => {
      this.#forget(key)
      this.#keep(key)
      const short = Math.min(ttl ?? substituteTtl, substituteTtl)
      return this.#ask(undefined, (store) => store.set(key, item, short))
    }
    const remove = (key: string) => {
      this.#forget(key)
      return this.#ask(false, (store) => store.delete(key))
    }
    const touch = (key: string, ttl?: number) => {
      this.#forget(key)
      return this.#ask(false, (store) => store.touch(key, ttl))
    }
    return {
      get,
      set,
      touch,
      delete: remove,
      getMany: (keys: readonly string[]) => Promise.all(keys.map((key) => this.store.get(key))),
      setMany: (entries: readonly (readonly [string, Payload])[], ttl?: number) =>
        Promise.all([...new Map(entries)].map(([key, item]) => this.store.set(key, item, ttl))),
      deleteMany: async (keys: readonly string[]) => {
        const each = [...new Set(keys)].map((key) => this.store.delete(key))
        return (await Promise.all(each)).filter(Boolean).length
      },
    }
  }

  /** The cache is of use as long as one node is. */
  async #ping(all: () => unknown): Promise<void> {
    try {
      await all()
    } catch (error) {
      if (!isUnreachable(error)) throw error
      const answers = this.#others.all.map(async (node) => (await node.ready()).noop('ping'))
      await Promise.any(answers).catch(() => {
        throw error
      })
    }
  }

  async #ask<T>(nothing: T, call: (store: ByteStore) => T | Promise<T>): Promise<T> {
    if (this.#substitute === undefined) return nothing
    try {
      return await call(this.#substitute)
    } catch (error) {
      if (isUnreachable(error)) return nothing
      throw error
    }
  }

  #forget(key: string): void {
    this.#router.of(key)?.forget(key)
  }

  #keep(key: string): void {
    const other = this.#substitute && this.#others.of(key)
    if (other !== undefined) this.#kept.set(key, other)
    const [oldest] = this.#kept
    if (oldest === undefined || this.#kept.size <= mostKept) return
    const [forgotten, keeper] = oldest
    this.#kept.delete(forgotten)
    keeper.forget(forgotten)
  }
}
