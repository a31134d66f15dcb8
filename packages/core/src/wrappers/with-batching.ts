import type { CacheStore, Payload, ReadOptions } from '../store.ts'
import { InFlight } from '../time/in-flight.ts'
import type { AnyStore } from '../values/entry-codec.ts'
import { exceeds } from '../values/payload.ts'
import { GetBatch, SetBatch } from './batch.ts'
import { BatchQueue } from './batch-queue.ts'
import { wrapStore } from './wrap-store.ts'

export interface BatchingOptions {
  /** Maximum number of keys in a batch. A full batch is sent immediately. @default 500 */
  readonly maxKeys?: number | undefined
  /** Maximum size of an item whose `set` is batched, in bytes; 0 for none. @default the store's limit */
  readonly maxSetBytes?: number | undefined
  /**
   * Whether to split many keys into two batches, and send the second one turn of the event loop after the first unless
   * another batch is in flight. Client and server then work at the same time instead of waiting for each other. Useful
   * where an additional request is cheap. @default false
   */
  readonly overlap?: boolean | undefined
}

/**
 * Wraps a store so that the calls of one tick are merged: `get`s into one `getMany` without repeated keys, `set`s into
 * one `setMany` per ttl. A single call, and a read with options, is passed on unchanged. The order is preserved where
 * it matters: calls for one key take effect in the order in which they were made, and every other operation is sent
 * after the calls before it. Deletes are not merged, because `delete` returns whether its key existed, which
 * `deleteMany` does not return for each key.
 *
 * @example
 * const batching = withBatching(store, { maxKeys: 100 })
 * const names = await Promise.all(['name:1', 'name:2'].map((key) => batching.get(key))) // one getMany
 * console.log(names)
 */
export function withBatching<S extends CacheStore>(store: S, options: BatchingOptions = {}): S {
  const inner = store as unknown as AnyStore
  const pending = new PendingBatches(inner, options)
  const unbatched = wrapStore(store, (_, call) => {
    pending.flush()
    return call()
  })
  const getUnbatched = unbatched.get
  // Read options are not merged: they must not apply to the other reads of the batch.
  const get = (key: string, readOptions?: ReadOptions) =>
    readOptions === undefined ? pending.get(key) : getUnbatched(key, readOptions)
  const { maxSetBytes = Infinity } = options
  // An item that the store rejects is sent separately, because it would make the whole batch fail.
  const isBatched = (item: unknown) =>
    store.payload === 'entry' ||
    !exceeds(item as Payload, Math.min(maxSetBytes, store.limits.valueBytes))
  const set = (key: string, item: unknown, ttl?: number) => {
    if (isBatched(item)) return pending.set(key, item, ttl)
    pending.flushKey(key)
    return inner.set(key, item, ttl)
  }
  return Object.assign(unbatched, { get, set })
}

const maxIdleQueues = 16

/** The calls of this tick that have not been sent yet. */
class PendingBatches {
  readonly #maxKeys: number
  readonly #gets: BatchQueue<GetBatch>
  readonly #createSetQueue: (ttl: number | undefined) => BatchQueue<SetBatch>
  /** One queue per ttl. */
  readonly #sets = new Map<number | undefined, BatchQueue<SetBatch>>()
  #isScheduled = false

  constructor(store: AnyStore, { maxKeys = 500, overlap = false }: BatchingOptions) {
    this.#maxKeys = maxKeys
    this.#gets = new BatchQueue(() => new GetBatch(store), new InFlight(), overlap)
    const setsInFlight = new InFlight()
    this.#createSetQueue = (ttl) =>
      new BatchQueue(() => new SetBatch(store, ttl), setsInFlight, overlap)
  }

  get(key: string): Promise<unknown> {
    if (this.#hasSet(key)) this.#sendSets()
    const batch = this.#gets.batchFor(key)
    const result = batch.add(key)
    if (batch.size >= this.#maxKeys) this.#gets.send()
    else this.#schedule()
    return result
  }

  set(key: string, item: unknown, ttl: number | undefined): Promise<void> {
    // An earlier set of the key with another ttl is in another batch, which might be sent after this one.
    this.flushKey(key)
    const batch = this.#setQueue(ttl).batchFor(key)
    const result = batch.add(key, item)
    if (batch.size >= this.#maxKeys) this.#sendSets()
    else this.#schedule()
    return result
  }

  /** Sends the batches that contain the key. */
  flushKey(key: string): void {
    if (this.#gets.has(key)) this.#gets.send()
    if (this.#sets.size > 0 && this.#hasSet(key)) this.#sendSets()
  }

  flush(): void {
    this.#sendSets()
    this.#gets.send()
  }

  #hasSet(key: string): boolean {
    for (const queue of this.#sets.values()) if (queue.has(key)) return true
    return false
  }

  #setQueue(ttl: number | undefined): BatchQueue<SetBatch> {
    const queue = this.#sets.get(ttl) ?? this.#createSetQueue(ttl)
    this.#sets.set(ttl, queue)
    return queue
  }

  #sendSets(): void {
    for (const queue of this.#sets.values()) queue.send()
    this.#removeIdleQueues()
  }

  /** Bounds the memory for applications that compute a ttl for each value. */
  #removeIdleQueues(): void {
    if (this.#sets.size <= maxIdleQueues) return
    for (const [ttl, queue] of this.#sets) if (queue.isEmpty) this.#sets.delete(ttl)
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    // Runs after the promise reactions of this tick, so that the calls they make are in the batch.
    process.nextTick(this.#sendFirst)
  }

  /** Created once: a closure per tick would measurably slow down a single call. */
  readonly #sendFirst = () => {
    this.#isScheduled = false
    let hasSecond = this.#gets.sendFirst()
    for (const queue of this.#sets.values()) if (queue.sendFirst()) hasSecond = true
    if (hasSecond) setImmediate(this.#sendSecond)
    this.#removeIdleQueues()
  }

  readonly #sendSecond = () => {
    this.#gets.sendSecond()
    for (const queue of this.#sets.values()) queue.sendSecond()
  }
}
