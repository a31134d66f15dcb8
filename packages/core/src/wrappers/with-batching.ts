import type { CacheStore, Payload, ReadOptions } from '../store.ts'
import { InFlight } from '../time/in-flight.ts'
import type { AnyStore } from '../values/entry-codec.ts'
import { exceeds } from '../values/payload.ts'
import { GetBatch, SetBatch } from './batch.ts'
import { BatchQueue } from './batch-queue.ts'
import { wrapStore } from './wrap-store.ts'

export interface BatchingOptions {
  /** Most keys in one batch; a full one leaves at once. @default 500 */
  readonly maxKeys?: number | undefined
  /** Largest item whose `set` is merged, in bytes; 0 for none. @default the store's limit */
  readonly largestSet?: number | undefined
  /**
   * Whether many keys leave in two batches, the second a turn of the event loop after the first, unless one is under
   * way already: client and server then work at the same time instead of waiting for each other. Worth it where a
   * batch costs little itself. @default false
   */
  readonly overlap?: boolean | undefined
}

/**
 * Merges calls of one tick: its `get`s become one `getMany`, each key asked for once, and its `set`s one `setMany`
 * for each ttl. A lone call, and a read with options, goes through as it is. Order is kept where it can be noticed:
 * calls for one key take effect in the order they were made, and every other operation is sent after what came before
 * it. A `delete` says whether its key was there, which `deleteMany` does not tell of each, so deletes are not merged.
 */
export function withBatching<S extends CacheStore>(store: S, options: BatchingOptions = {}): S {
  const inner = store as unknown as AnyStore
  const tick = new Tick(inner, options)
  const others = wrapStore(store, (_, call) => {
    tick.flush()
    return call()
  })
  // One that asks for more than usual must not ask it for all.
  const get = (key: string, read?: ReadOptions) =>
    read === undefined ? tick.get(key) : others.get(key, read)
  const { payload, limits } = store
  // One the store refuses is refused for itself alone: it must not take a batch with it.
  const largest = Math.min(options.largestSet ?? Infinity, limits.valueBytes)
  const isMerged = (item: unknown) => payload === 'entry' || !exceeds(item as Payload, largest)
  const set = (key: string, item: unknown, ttl?: number) => {
    if (isMerged(item)) return tick.set(key, item, ttl)
    tick.send(key)
    return inner.set(key, item, ttl)
  }
  return { ...others, get, set }
}

const keptQueues = 16

/** What has been asked for in this tick and not been sent yet. */
class Tick {
  readonly #maxKeys: number
  readonly #gets: BatchQueue<GetBatch>
  readonly #openSets: (ttl: number | undefined) => BatchQueue<SetBatch>
  /** One for each ttl. */
  readonly #sets = new Map<number | undefined, BatchQueue<SetBatch>>()
  #scheduled = false

  constructor(store: AnyStore, { maxKeys = 500, overlap = false }: BatchingOptions) {
    this.#maxKeys = maxKeys
    this.#gets = new BatchQueue(() => new GetBatch(store), new InFlight(), overlap)
    const writes = new InFlight()
    this.#openSets = (ttl) => new BatchQueue(() => new SetBatch(store, ttl), writes, overlap)
  }

  get(key: string): Promise<unknown> {
    if (this.#isBeingSet(key)) this.#sendSets()
    const batch = this.#gets.batchFor(key)
    const answer = batch.add(key)
    if (batch.size >= this.#maxKeys) this.#gets.send()
    else this.#schedule()
    return answer
  }

  set(key: string, item: unknown, ttl: number | undefined): Promise<void> {
    // In a batch of another ttl what was set before might be sent later than this.
    this.send(key)
    const batch = this.#setsOf(ttl).batchFor(key)
    const answer = batch.add(key, item)
    if (batch.size >= this.#maxKeys) this.#sendSets()
    else this.#schedule()
    return answer
  }

  /** Sends what concerns the key. */
  send(key: string): void {
    if (this.#gets.has(key)) this.#gets.send()
    if (this.#sets.size > 0 && this.#isBeingSet(key)) this.#sendSets()
  }

  flush(): void {
    this.#sendSets()
    this.#gets.send()
  }

  #isBeingSet(key: string): boolean {
    for (const queue of this.#sets.values()) if (queue.has(key)) return true
    return false
  }

  #setsOf(ttl: number | undefined): BatchQueue<SetBatch> {
    const queue = this.#sets.get(ttl) ?? this.#openSets(ttl)
    this.#sets.set(ttl, queue)
    return queue
  }

  #sendSets(): void {
    for (const queue of this.#sets.values()) queue.send()
    this.#dropEmptyQueues()
  }

  /** Most applications have few ttls; those that compute them must not fill the memory. */
  #dropEmptyQueues(): void {
    if (this.#sets.size <= keptQueues) return
    for (const [ttl, queue] of this.#sets) if (queue.isEmpty) this.#sets.delete(ttl)
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    // Runs when the promises of this turn are done, so that what they ask for is in the batch too.
    process.nextTick(this.#end)
  }

  /** Made once: a function for each tick would show in the cost of a lone call. */
  readonly #end = () => {
    this.#scheduled = false
    let isMore = this.#gets.sendFirst()
    for (const queue of this.#sets.values()) if (queue.sendFirst()) isMore = true
    if (isMore) setImmediate(this.#endLater)
    this.#dropEmptyQueues()
  }

  readonly #endLater = () => {
    this.#gets.sendSecond()
    for (const queue of this.#sets.values()) queue.sendSecond()
  }
}
