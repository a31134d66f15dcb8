import { type ByteStore, type Payload, type StoreOperation, wrapStore } from '@stowage/core'
import { isUnreachable } from '@stowage/core/driver'
import type { Router } from './dispatcher.ts'
import type { Node } from './node.ts'

/** Longest ttl of a value that is stored on another node. */
const maxFailoverTtlMs = 60_000
/** How many of these values are tracked. */
const maxFailoverKeys = 10_000

/**
 * Wraps a store so that it keeps working while a node is down: calls for the node's keys are misses, or use `fallback`,
 * a store on the healthy nodes. Keys changed meanwhile are deleted from the node before it is used again, and from the
 * nodes that replaced it afterwards, so that no stale value is read.
 */
export class FailoverStore {
  readonly store: ByteStore
  readonly #cluster: Router
  readonly #healthyNodes: Router
  readonly #fallback: ByteStore | undefined
  /** Keys that are stored on another node than their own, with that node. */
  readonly #failoverNodes = new Map<string, Node>()

  constructor(
    store: ByteStore,
    cluster: Router,
    healthyNodes: Router,
    fallback: ByteStore | undefined,
  ) {
    this.#cluster = cluster
    this.#healthyNodes = healthyNodes
    this.#fallback = fallback
    const fallbacks = this.#fallbackOperations()
    this.store = wrapStore(store, (operation, call, args) => {
      if (operation === 'ping') return this.#ping(call) as never
      const runFallback = fallbacks[operation]
      if (runFallback === undefined) return call()
      return (call() as Promise<never>).catch((error: unknown) => {
        if (isUnreachable(error)) return runFallback(...(args as never[])) as never
        throw error
      })
    })
  }

  /** Call it when a node has connected: deletes the values that other nodes stored for it. */
  onNodeUp(node: Node): void {
    for (const [key, failoverNode] of this.#failoverNodes) {
      if (this.#cluster.nodeFor(key) !== node) continue
      this.#failoverNodes.delete(key)
      failoverNode.deleteLater(key)
    }
  }

  /** What runs after an operation has failed. Operations without an entry fail, because any result could be wrong. */
  #fallbackOperations(): Partial<Record<StoreOperation, (...args: never[]) => Promise<unknown>>> {
    const get = (key: string) => this.#useFallback(undefined, (store) => store.get(key))
    const set = (key: string, payload: Payload, ttl?: number) => {
      this.#deleteLater(key)
      this.#trackFailover(key)
      const failoverTtl = Math.min(ttl ?? maxFailoverTtlMs, maxFailoverTtlMs)
      return this.#useFallback(undefined, (store) => store.set(key, payload, failoverTtl))
    }
    const remove = (key: string) => {
      this.#deleteLater(key)
      return this.#useFallback(false, (store) => store.delete(key))
    }
    const touch = (key: string, ttl?: number) => {
      this.#deleteLater(key)
      return this.#useFallback(false, (store) => store.touch(key, ttl))
    }
    return {
      get,
      set,
      touch,
      delete: remove,
      getMany: (keys: readonly string[]) => Promise.all(keys.map((key) => this.store.get(key))),
      setMany: (entries: readonly (readonly [string, Payload])[], ttl?: number) =>
        Promise.all(
          [...new Map(entries)].map(([key, payload]) => this.store.set(key, payload, ttl)),
        ),
      deleteMany: async (keys: readonly string[]) => {
        const deletes = [...new Set(keys)].map((key) => this.store.delete(key))
        return (await Promise.all(deletes)).filter(Boolean).length
      },
    }
  }

  /** Succeeds if at least one node replies. */
  async #ping(pingAll: () => unknown): Promise<void> {
    try {
      await pingAll()
    } catch (error) {
      if (!isUnreachable(error)) throw error
      const pings = this.#healthyNodes.nodes.map(async (node) =>
        (await node.connect()).noop('ping'),
      )
      await Promise.any(pings).catch(() => {
        throw error
      })
    }
  }

  async #useFallback<T>(miss: T, call: (store: ByteStore) => T | Promise<T>): Promise<T> {
    if (this.#fallback === undefined) return miss
    try {
      return await call(this.#fallback)
    } catch (error) {
      if (isUnreachable(error)) return miss
      throw error
    }
  }

  #deleteLater(key: string): void {
    this.#cluster.nodeFor(key)?.deleteLater(key)
  }

  #trackFailover(key: string): void {
    const failoverNode = this.#fallback && this.#healthyNodes.nodeFor(key)
    if (failoverNode !== undefined) this.#failoverNodes.set(key, failoverNode)
    const [oldest] = this.#failoverNodes
    if (oldest === undefined || this.#failoverNodes.size <= maxFailoverKeys) return
    const [oldestKey, oldestNode] = oldest
    this.#failoverNodes.delete(oldestKey)
    oldestNode.deleteLater(oldestKey)
  }
}
