import type { Payload } from '@stowage/core'
import {
  BatchError,
  type ByteStore,
  type ItemWithTtl,
  isUnreachable,
  type StoreOperation,
  wrapStore,
} from '@stowage/core/driver'
import type { Router } from './dispatcher.ts'
import type { Node } from './node.ts'

/** Longest ttl of a value that is stored on another node. */
const maxFailoverTtlMs = 60_000

type Outcome = PromiseSettledResult<unknown>

/** Runs after an operation has failed. */
type Fallback = (error: unknown, ...args: never[]) => Promise<unknown>

/**
 * Wraps a store so that it keeps working while a node is down: calls for the node's keys are misses, or use `fallback`,
 * a store on the healthy nodes. Keys changed meanwhile are deleted from the node before it is used again, and from the
 * nodes that replaced it afterwards, so that no stale value is read.
 */
export class NodeFailover {
  readonly store: ByteStore
  readonly #cluster: Router
  readonly #healthyNodes: Router
  readonly #fallback: ByteStore | undefined
  readonly #failoverKeys: FailoverKeys

  constructor(
    store: ByteStore,
    cluster: Router,
    healthyNodes: Router,
    fallback: ByteStore | undefined,
  ) {
    this.#cluster = cluster
    this.#healthyNodes = healthyNodes
    this.#fallback = fallback
    this.#failoverKeys = new FailoverKeys(cluster)
    const fallbacks = this.#fallbacks()
    this.store = wrapStore(store, (operation, call, args) => {
      if (operation === 'ping') return this.#ping(call) as never
      const runFallback = fallbacks[operation]
      if (runFallback === undefined) return call()
      return (call() as Promise<never>).catch((error: unknown) => {
        if (!mayBeUnreachable(error)) throw error
        return runFallback(error, ...(args as never[])) as never
      })
    })
  }

  /** Call it when a node has connected: deletes the values that other nodes stored for it. */
  onNodeUp(node: Node): void {
    this.#failoverKeys.onNodeUp(node)
  }

  /** Call it when the list of nodes has changed. */
  onNodesChange(): void {
    this.#failoverKeys.onNodesChange()
  }

  /** Operations without a fallback fail, because any result could be wrong. */
  #fallbacks(): Partial<Record<StoreOperation, Fallback>> {
    return {
      get: (_, key: string) => this.#get(key),
      set: (_, key: string, payload: Payload, ttl?: number) => this.#set(key, payload, ttl),
      touch: (_, key: string, ttl?: number) => this.#touch(key, ttl),
      delete: (_, key: string) => this.#delete(key),
      getMany: (error, keys: readonly string[]) =>
        completeOutcomes(error, keys, (key) => this.#get(key)),
      getWithTtl: (error, keys: readonly string[]) =>
        completeOutcomes(error, keys, (key) => this.#getWithTtl(key)),
      setMany: (error, entries: readonly (readonly [string, Payload])[], ttl?: number) =>
        completeOutcomes(error, entries, ([key, payload]) => this.#set(key, payload, ttl)),
      deleteMany: async (error, keys: readonly string[]) => {
        const deleted = await completeOutcomes(error, keys, (key) => this.#delete(key))
        return new Set(keys.filter((_, index) => deleted[index])).size
      },
    }
  }

  #get(key: string): Promise<Payload | undefined> {
    return this.#useFallback(undefined, (store) => store.get(key))
  }

  /** An item on another node is not kept by a near cache: as soon as the node returns, its own item is read. */
  async #getWithTtl(key: string): Promise<ItemWithTtl<Payload> | undefined> {
    const item = await this.#get(key)
    return item === undefined ? undefined : { item, ttl: 1 }
  }

  #set(key: string, payload: Payload, ttl: number | undefined): Promise<void> {
    this.#deleteLater(key)
    const failoverNode = this.#fallback && this.#healthyNodes.nodeFor(key)
    this.#failoverKeys.move(key, failoverNode)
    const set = (store: ByteStore) => store.set(key, payload, toFailoverTtl(ttl))
    return this.#useFallback(undefined, set, () => this.#forget(key, failoverNode))
  }

  #delete(key: string): Promise<boolean> {
    this.#deleteLater(key)
    const failoverNode = this.#fallback && this.#healthyNodes.nodeFor(key)
    this.#failoverKeys.move(key, failoverNode)
    const remove = (store: ByteStore) => store.delete(key)
    return this.#useFallback(false, remove, () => this.#forget(key, failoverNode))
  }

  #touch(key: string, ttl: number | undefined): Promise<boolean> {
    this.#deleteLater(key)
    return this.#useFallback(false, (store) => store.touch(key, toFailoverTtl(ttl)))
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

  /** Returns `miss` without a healthy node. `onUnreachable` is called if the call may or may not have been executed. */
  async #useFallback<T>(
    miss: T,
    call: (store: ByteStore) => T | Promise<T>,
    onUnreachable: () => void = () => {},
  ): Promise<T> {
    if (this.#fallback === undefined) return miss
    try {
      return await call(this.#fallback)
    } catch (error) {
      if (!isUnreachable(error)) throw error
      onUnreachable()
      return miss
    }
  }

  #deleteLater(key: string): void {
    this.#cluster.nodeFor(key)?.deleteLater(key)
  }

  /** Another node may still have an older value of the key. */
  #forget(key: string, failoverNode: Node | undefined): void {
    failoverNode?.deleteLater(key)
    this.#failoverKeys.move(key, undefined)
  }
}

function toFailoverTtl(ttl: number = maxFailoverTtlMs): number {
  return Math.min(ttl, maxFailoverTtlMs)
}

function outcomeOf(error: unknown, index: number): Outcome {
  const { outcomes } = error as Partial<BatchError>
  return outcomes?.[index] ?? { status: 'rejected', reason: error }
}

function mayBeUnreachable(error: unknown): boolean {
  const { outcomes } = error as Partial<BatchError>
  return isUnreachable(error) || outcomes?.some(isUnreachableOutcome) === true
}

function isUnreachableOutcome(outcome: Outcome): boolean {
  return outcome.status === 'rejected' && isUnreachable(outcome.reason)
}

/** Replaces the outcomes of the keys whose node is unreachable by those of `fallback`. Returns the results of all. */
async function completeOutcomes<T>(
  error: unknown,
  entries: readonly T[],
  fallback: (entry: T) => Promise<unknown>,
): Promise<unknown[]> {
  const outcomes = await Promise.all(
    entries.map(async (entry, index): Promise<Outcome> => {
      const outcome = outcomeOf(error, index)
      if (!isUnreachableOutcome(outcome)) return outcome
      const [completed] = await Promise.allSettled([fallback(entry)])
      return completed as Outcome
    }),
  )
  return outcomes.map((outcome) => {
    if (outcome.status === 'rejected') throw new BatchError(outcomes)
    return outcome.value
  })
}

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
