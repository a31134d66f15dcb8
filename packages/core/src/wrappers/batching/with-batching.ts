import { InFlight } from '../../calls/lifecycle.ts'
import type { Awaitable, CacheStore, Consistency, Payload, ReadOptions } from '../../store.ts'
import { areCallersKnown, joinCallers } from '../../tracing/requests.ts'
import type { AnyStore } from '../../values/entry-codec.ts'
import { exceeds } from '../../values/payload.ts'
import { type StoreOperation, wrapStore } from '../wrap-store.ts'
import { BatchQueue, type SharedState, TurnEnd } from './batch-queue.ts'
import { type Batch, GetBatch, SetBatch } from './batches.ts'

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
 * Wraps a store so that the calls of one turn of the event loop are merged: reads with the same consistency into one
 * `getMany` without repeated keys, `set`s into one `setMany` per ttl. While other calls are in flight, a batch is sent
 * when the callbacks of the turn have run, so that the requests of all sockets share it; a call in an idle process is
 * sent as soon as its own callback has run. A call that stays alone is passed on unchanged.
 *
 * The order is preserved where it matters: calls for one key take effect in the order in which they were made. Deletes
 * are not merged, because `delete` returns whether its key existed, which `deleteMany` does not return for each key.
 *
 * @example
 * const batching = withBatching(store, { maxKeys: 100 })
 * const names = await Promise.all(['name:1', 'name:2'].map((key) => batching.get(key))) // one getMany
 * console.log(names)
 */
export function withBatching<S extends CacheStore>(store: S, options: BatchingOptions = {}): S {
  const pending = new PendingBatches(store as unknown as AnyStore, options)
  const unbatched = wrapStore(store, (operation, call, [first]) => {
    if (singleKeyOperations.has(operation)) pending.flushKey(first as string)
    else pending.flush()
    return call()
  })
  const { get, getMany, set } = pending
  return Object.assign(unbatched, { get, getMany, set })
}

const singleKeyOperations: ReadonlySet<StoreOperation> = new Set<StoreOperation>([
  'add',
  'compareAndSet',
  'increment',
  'touch',
  'delete',
])

/** Beyond it, idle queues are removed. */
const maxSetQueues = 16

type GetQueue = BatchQueue<GetBatch>
type SetQueue = BatchQueue<SetBatch>

/** The calls that have not been sent yet. Those that can be merged are functions, which the store of `withBatching` has. */
class PendingBatches {
  readonly #store: AnyStore
  readonly #maxKeys: number
  readonly #maxSetBytes: number
  readonly #reads: SharedState
  readonly #writes: SharedState
  /** One queue per consistency. */
  readonly #gets = new Map<Consistency | undefined, GetQueue>()
  /** One queue per ttl. */
  readonly #sets = new Map<number | undefined, SetQueue>()

  constructor(store: AnyStore, options: BatchingOptions) {
    const { maxKeys = 500, maxSetBytes = Infinity, overlap = false } = options
    this.#store = store
    this.#maxKeys = maxKeys
    this.#maxSetBytes = maxSetBytes
    const shared = { overlap, callsInFlight: new InFlight(), turnEnd: new TurnEnd() }
    this.#reads = { ...shared, batchesInFlight: new InFlight() }
    this.#writes = { ...shared, batchesInFlight: new InFlight() }
  }

  readonly get = (key: string, options?: ReadOptions): Promise<unknown> => {
    this.#flushSetOf(key)
    const queue = this.#getQueue(options)
    const batch = queue.batchFor(key)
    const result = batch.add(key)
    this.#sendOrSchedule(queue, batch)
    return result
  }

  readonly getMany = (
    keys: readonly string[],
    options?: ReadOptions,
  ): Awaitable<readonly unknown[]> => {
    if (keys.length === 0 || keys.length > this.#maxKeys) {
      this.flush()
      return this.#store.getMany(keys, options)
    }
    for (const key of keys) this.#flushSetOf(key)
    const queue = this.#getQueue(options)
    if (queue.size + keys.length > this.#maxKeys) queue.send()
    const batch = queue.batchFor(keys[0] as string)
    const result = batch.addMany(keys)
    this.#sendOrSchedule(queue, batch)
    return result
  }

  readonly set = (key: string, item: unknown, ttl?: number): Awaitable<void> => {
    // An earlier set of the key with another ttl is in another batch, which might be sent after this one.
    this.flushKey(key)
    // An item that the store rejects is sent separately, because it would make the whole batch fail.
    if (!this.#isBatched(item)) return this.#store.set(key, item, ttl)
    const queue = this.#setQueue(ttl)
    const batch = queue.batchFor(key)
    const result = batch.add(key, item)
    this.#sendOrSchedule(queue, batch)
    return result
  }

  #isBatched(item: unknown): boolean {
    const { payload, limits } = this.#store
    const maxBytes = Math.min(this.#maxSetBytes, limits.valueBytes)
    return payload === 'entry' || !exceeds(item as Payload, maxBytes)
  }

  /** Sends the batches that contain the key. */
  flushKey(key: string): void {
    for (const queue of this.#gets.values()) if (queue.has(key)) queue.send()
    this.#flushSetOf(key)
  }

  flush(): void {
    this.#sendSets()
    for (const queue of this.#gets.values()) queue.send()
  }

  #flushSetOf(key: string): void {
    for (const queue of this.#sets.values()) if (queue.has(key)) this.#sendSets()
  }

  #getQueue(options: ReadOptions | undefined): GetQueue {
    const consistency = options?.consistency
    let queue = this.#gets.get(consistency)
    if (queue === undefined) {
      const queueOptions = consistency && { consistency }
      queue = new BatchQueue(() => new GetBatch(this.#store, queueOptions), this.#reads)
      this.#gets.set(consistency, queue)
    }
    return queue
  }

  #setQueue(ttl: number | undefined): SetQueue {
    let queue = this.#sets.get(ttl)
    if (queue === undefined) {
      this.#removeIdleQueues()
      queue = new BatchQueue(() => new SetBatch(this.#store, ttl), this.#writes)
      this.#sets.set(ttl, queue)
    }
    return queue
  }

  #sendSets(): void {
    for (const queue of this.#sets.values()) queue.send()
  }

  /** Bounds the memory for applications that compute a ttl for each value. */
  #removeIdleQueues(): void {
    if (this.#sets.size < maxSetQueues) return
    for (const [ttl, queue] of this.#sets) if (queue.isEmpty) this.#sets.delete(ttl)
  }

  #sendOrSchedule(queue: GetQueue | SetQueue, batch: Batch): void {
    if (areCallersKnown()) batch.callers = joinCallers(batch.callers)
    if (batch.size >= this.#maxKeys) queue.send()
    else queue.schedule()
  }
}
