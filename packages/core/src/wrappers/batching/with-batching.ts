import { AsyncResource } from 'node:async_hooks'
import { InFlight } from '../../calls/in-flight.ts'
import { checkInteger, checkOptionNames } from '../../options/check-options.ts'
import type {
  AnyStore,
  Awaitable,
  CacheStore,
  Consistency,
  Payload,
  ReadOptions,
} from '../../store.ts'
import { areCallersKnown, joinCallers, runForCallers } from '../../tracing/requests.ts'
import { exceeds } from '../../values/payload.ts'
import { type StoreOperation, wrapStore } from '../wrap-store.ts'
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

const optionNames = { maxKeys: true, maxSetBytes: true, overlap: true } as const

/**
 * Wraps a store so that the calls of one turn of the event loop are merged: reads with the same consistency into one
 * `getMany` without repeated keys, `set`s into one `setMany` per ttl. While other calls are in flight, a batch is sent
 * when the callbacks of the turn have run, so that the requests of all sockets share it; a call in an idle process is
 * sent as soon as its own callback has run. A call that stays alone is passed on unchanged.
 *
 * The order is preserved where it matters: calls for one key take effect in the order in which they were made. Deletes
 * are not merged, because `delete` returns whether its key existed, which `deleteMany` does not return for each key.
 *
 * @throws TypeError for unknown options; CacheError `ERR_CACHE_CONFIG` for invalid values
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

/** Minimum number of keys in the first batch before a second one is begun. */
const minKeysToSplit = 16
/** Beyond it, idle queues are removed, and if there are none, all are sent. */
const maxSetQueues = 16

type GetQueue = BatchQueue<GetBatch>
type SetQueue = BatchQueue<SetBatch>

/** The calls that have not been sent yet. `get`, `getMany` and `set` are functions, which `withBatching` gives to its store. */
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
    checkOptionNames('withBatching', options, optionNames)
    const { maxKeys = 500, maxSetBytes = Infinity, overlap = false } = options
    checkInteger('withBatching: maxKeys', maxKeys, 1)
    if (maxSetBytes !== Infinity) checkInteger('withBatching: maxSetBytes', maxSetBytes, 0)
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
      this.#makeRoomForQueue()
      queue = new BatchQueue(() => new SetBatch(this.#store, ttl), this.#writes)
      this.#sets.set(ttl, queue)
    }
    return queue
  }

  #sendSets(): void {
    for (const queue of this.#sets.values()) queue.send()
  }

  /** Bounds the memory, and the time to find a key, for applications that compute a ttl for each value. */
  #makeRoomForQueue(): void {
    if (this.#sets.size < maxSetQueues) return
    for (const [ttl, queue] of this.#sets) if (queue.isEmpty) this.#sets.delete(ttl)
    if (this.#sets.size < maxSetQueues) return
    this.#sendSets()
    this.#sets.clear()
  }

  #sendOrSchedule(queue: GetQueue | SetQueue, batch: Batch): void {
    if (areCallersKnown()) batch.callers = joinCallers(batch.callers)
    if (batch.size >= this.#maxKeys) queue.send()
    else queue.schedule()
  }
}

/** What the queues of a wrapper for reads, or for writes, share. */
interface SharedState {
  /** Whether to split many keys into two batches. */
  readonly overlap: boolean
  /** Counts everything that the wrapper sends. */
  readonly callsInFlight: InFlight
  /** Counts the batches of several keys of all queues that share a connection. */
  readonly batchesInFlight: InFlight
  readonly turnEnd: TurnEnd
}

/** Collects calls of one kind in a batch, or with `overlap` in two that are sent one after the other. */
export class BatchQueue<B extends Batch> {
  readonly #createBatch: () => B
  readonly #shared: SharedState
  #first: B | undefined
  /** Sent one turn of the event loop after the first. */
  #second: B | undefined
  /** The number of keys at the end of the callback in which the unsent batches were begun. */
  #sizeAfterCallback = 0
  /** Whether other callbacks of the turn added keys to the last batch. */
  #hasGrown = false
  #isScheduled = false

  constructor(createBatch: () => B, shared: SharedState) {
    this.#createBatch = createBatch
    this.#shared = shared
  }

  get isEmpty(): boolean {
    return this.#first === undefined && this.#second === undefined
  }

  /** The number of keys in unsent batches. */
  get size(): number {
    return (this.#first?.size ?? 0) + (this.#second?.size ?? 0)
  }

  has(key: string): boolean {
    return this.#first?.has(key) === true || this.#second?.has(key) === true
  }

  /** Returns the batch that contains the key, or to which it must be added. */
  batchFor(key: string): B {
    if (this.#second?.has(key)) return this.#second
    const first = this.#first
    if (first === undefined) {
      this.#first = this.#createBatch()
      return this.#first
    }
    if (!this.#shared.overlap || first.size < minKeysToSplit || first.has(key)) return first
    // With a batch in flight, client and server already work at the same time.
    if (this.#second === undefined && this.#shared.batchesInFlight.count > 0) return first
    this.#second ??= this.#createBatch()
    return this.#second.size < first.size ? this.#second : first
  }

  /**
   * Sends the batch when the callbacks of this turn of the event loop have run. In an idle process, sends it right after
   * the current callback instead, because waiting would only delay a single call. In both cases a batch is sent in the
   * asynchronous context of its first call.
   */
  schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    const { callsInFlight, turnEnd } = this.#shared
    if (this.#hasGrown || callsInFlight.count > 0) {
      turnEnd.add(this.#onTurnEnd)
      process.nextTick(this.#onCallbackEnd)
    } else process.nextTick(this.#sendScheduled)
  }

  /** Sends both batches now. */
  send(): void {
    const [first, second] = [this.#first, this.#second]
    this.#first = undefined
    this.#second = undefined
    if (first !== undefined) this.#send(first)
    if (second !== undefined) this.#send(second)
  }

  // Functions that are created once: one per batch would add to the cost of a single call.
  readonly #onCallbackEnd = () => {
    this.#sizeAfterCallback = this.size
  }

  readonly #onTurnEnd = () => {
    this.#hasGrown = this.size > this.#sizeAfterCallback
    this.#sendScheduled()
  }

  readonly #sendScheduled = () => {
    this.#isScheduled = false
    const batch = this.#first
    this.#first = undefined
    if (batch !== undefined) this.#send(batch)
    if (this.#second !== undefined) this.#shared.turnEnd.add(this.#onNextTurn)
  }

  readonly #onNextTurn = () => {
    const batch = this.#second
    this.#second = undefined
    if (batch !== undefined) this.#send(batch)
  }

  #send(batch: B): void {
    const { callsInFlight } = this.#shared
    const batchesInFlight = batch.size > 1 ? this.#shared.batchesInFlight : undefined
    callsInFlight.begin()
    batchesInFlight?.begin()
    const reply = sent(batch)
    // Before the outcomes: a caller that makes one call after another is alone again when it makes the next.
    const onReply = () => {
      callsInFlight.end()
      batchesInFlight?.end()
    }
    if (reply instanceof Promise) reply.then(onReply, onReply)
    else onReply()
    batch.settle(reply)
  }
}

function sent(batch: Batch): Awaitable<unknown> {
  try {
    return batch.callers === undefined
      ? batch.send()
      : runForCallers(batch.callers, () => batch.send())
  } catch (error) {
    return Promise.reject(error)
  }
}

interface PendingCall {
  readonly call: () => void
  /** `undefined` for the first call of a turn, whose context the end of the turn has. */
  readonly context: AsyncResource | undefined
}

/**
 * Makes calls when the callbacks of this turn of the event loop have run, each in the asynchronous context in which it was
 * added. Nothing else runs between them, so that a driver can send the requests of all in one write.
 */
export class TurnEnd {
  #pending: PendingCall[] = []

  add(call: () => void): void {
    const isFirst = this.#pending.length === 0
    this.#pending.push({ call, context: isFirst ? undefined : new AsyncResource('stowage:batch') })
    if (isFirst) setImmediate(this.#end)
  }

  readonly #end = () => {
    const pending = this.#pending
    this.#pending = []
    for (const { call, context } of pending) {
      if (context === undefined) call()
      else context.runInAsyncScope(call)
    }
  }
}
