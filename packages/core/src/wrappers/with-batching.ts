import type { AnyStore } from '../entries.ts'
import { exceeds } from '../payload.ts'
import type { Awaitable, CacheStore, Payload, ReadOptions } from '../store.ts'
import { wrapStore } from './wrap-store.ts'

export interface BatchingOptions {
  /** Most keys in one batch; a full one leaves at once. @default 500 */
  readonly maxKeys?: number | undefined
  /** Whether `set`s are merged too: no gain where the backend takes a command for each entry anyway. @default true */
  readonly sets?: boolean | undefined
  /**
   * Whether many `get`s leave in two batches, the second a turn of the event loop after the first, unless one is under
   * way already: client and server then work at the same time instead of waiting for each other. Worth it where a
   * batch costs little itself. @default false
   */
  readonly overlap?: boolean | undefined
}

/** Fewer keys are not worth a batch of their own. */
const leastKeysOfTwo = 16

/**
 * Merges calls of one tick: its `get`s become one `getMany`, each key asked for once, and its `set`s one `setMany`
 * for each ttl. A lone call, and a read with options, goes through as it is. Order is kept where it can be noticed: calls for one key take
 * effect in the order they were made, and every other operation is sent after what came before it. A `delete`
 * says whether its key was there, which `deleteMany` does not tell of each, so deletes are not merged.
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
  if (options.sets === false) {
    const set = (key: string, item: never, ttl?: number) => {
      tick.flush()
      return store.set(key, item, ttl)
    }
    return { ...others, get, set }
  }
  const tooLarge = (item: unknown) =>
    store.payload === 'bytes' && exceeds(item as Payload, store.limits.valueBytes)
  const set = (key: string, item: unknown, ttl?: number) =>
    // Refused for itself alone: it must not take a batch with it.
    tooLarge(item) ? others.set(key, item as never, ttl) : tick.set(key, item, ttl)
  return { ...others, get, set }
}

/** What has been asked for in this tick and not been sent yet. */
class Tick {
  readonly #store: AnyStore
  readonly #maxKeys: number
  readonly #overlap: boolean
  #gets: GetBatch | undefined
  /** Leaves a turn of the event loop after the others. */
  #laterGets: GetBatch | undefined
  #getsUnderWay = 0
  readonly #sets = new Map<number | undefined, SetBatch>()
  #scheduled = false

  constructor(store: AnyStore, { maxKeys = 500, overlap = false }: BatchingOptions) {
    this.#store = store
    this.#maxKeys = maxKeys
    this.#overlap = overlap
  }

  /** Made once: a function for each tick would show in the cost of a lone call. */
  readonly #end = () => {
    this.#scheduled = false
    this.#sendSets()
    this.#sendFirstGets()
    if (this.#laterGets !== undefined) setImmediate(() => this.#sendLaterGets())
  }

  get(key: string): Promise<unknown> {
    if (this.#isBeingSet(key)) this.#sendSets()
    const batch = this.#batchFor(key)
    const answer = batch.add(key)
    if (batch.size >= this.#maxKeys) this.#sendGets()
    else this.#schedule()
    return answer
  }

  set(key: string, item: unknown, ttl: number | undefined): Promise<void> {
    if (this.#isBeingRead(key)) this.#sendGets()
    // In a batch of another ttl it might be sent later than this one.
    if (this.#sets.size > 0 && this.#isBeingSet(key)) this.#sendSets()
    const batch = this.#sets.get(ttl) ?? this.#openSets(ttl)
    const answer = batch.add(key, item)
    if (batch.size >= this.#maxKeys) this.#sendSets()
    else this.#schedule()
    return answer
  }

  flush(): void {
    this.#sendSets()
    this.#sendGets()
  }

  #batchFor(key: string): GetBatch {
    this.#gets ??= new GetBatch()
    const first = this.#gets
    if (!this.#overlap || first.size < leastKeysOfTwo || first.has(key)) return first
    if (this.#laterGets === undefined && this.#getsUnderWay > 0) return first
    this.#laterGets ??= new GetBatch()
    const second = this.#laterGets
    return second.size < first.size || second.has(key) ? second : first
  }

  #isBeingRead(key: string): boolean {
    return this.#gets?.has(key) === true || this.#laterGets?.has(key) === true
  }

  #isBeingSet(key: string): boolean {
    for (const batch of this.#sets.values()) if (batch.has(key)) return true
    return false
  }

  #openSets(ttl: number | undefined): SetBatch {
    const batch = new SetBatch(ttl)
    this.#sets.set(ttl, batch)
    return batch
  }

  #sendGets(): void {
    this.#sendFirstGets()
    this.#sendLaterGets()
  }

  #sendFirstGets(): void {
    const batch = this.#gets
    this.#gets = undefined
    if (batch !== undefined) this.#sendBatch(batch)
  }

  #sendLaterGets(): void {
    const batch = this.#laterGets
    this.#laterGets = undefined
    if (batch !== undefined) this.#sendBatch(batch)
  }

  #sendBatch(batch: GetBatch): void {
    const answered = batch.send(this.#store)
    if (answered === undefined) return
    this.#getsUnderWay++
    answered.then(() => this.#getsUnderWay--)
  }

  #sendSets(): void {
    if (this.#sets.size === 0) return
    const batches = [...this.#sets.values()]
    this.#sets.clear()
    for (const batch of batches) batch.send(this.#store)
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    // Runs when the promises of this turn are done, so that what they ask for is in the batch too.
    process.nextTick(this.#end)
  }
}

/** A result that is waited for before it is asked for. */
class Pending<T> {
  readonly result: Promise<T>
  settle!: (result: Awaitable<T>) => void
  fail!: (reason: unknown) => void

  constructor() {
    this.result = new Promise((settle, fail) => {
      this.settle = settle
      this.fail = fail
    })
  }

  /** A store may also throw. */
  begin(call: () => Awaitable<T>): void {
    try {
      this.settle(call())
    } catch (error) {
      this.fail(error)
    }
  }
}

class GetBatch {
  readonly #items = new Map<string, Pending<unknown>>()

  get size(): number {
    return this.#items.size
  }

  has(key: string): boolean {
    return this.#items.has(key)
  }

  add(key: string): Promise<unknown> {
    let item = this.#items.get(key)
    if (item === undefined) {
      item = new Pending()
      this.#items.set(key, item)
    }
    return item.result
  }

  /** Resolves when it is answered, one way or the other. */
  send(store: AnyStore): Promise<void> | undefined {
    if (this.#items.size > 1) return this.#sendMany(store)
    for (const [key, item] of this.#items) item.begin(() => store.get(key))
    return undefined
  }

  async #sendMany(store: AnyStore): Promise<void> {
    try {
      const found = await store.getMany([...this.#items.keys()])
      let index = 0
      for (const item of this.#items.values()) item.settle(found[index++])
    } catch (error) {
      for (const item of this.#items.values()) item.fail(error)
    }
  }
}

class SetBatch {
  readonly #ttl: number | undefined
  readonly #entries = new Map<string, unknown>()
  readonly #done = new Pending<void>()

  constructor(ttl: number | undefined) {
    this.#ttl = ttl
  }

  get size(): number {
    return this.#entries.size
  }

  has(key: string): boolean {
    return this.#entries.has(key)
  }

  add(key: string, item: unknown): Promise<void> {
    this.#entries.set(key, item)
    return this.#done.result
  }

  send(store: AnyStore): void {
    const entries = [...this.#entries]
    const [first] = entries
    this.#done.begin(() =>
      entries.length === 1 && first !== undefined
        ? store.set(...first, this.#ttl)
        : store.setMany(entries, this.#ttl),
    )
  }
}
