import { Deferred } from '../../calls/deferred.ts'
import type { CallEvent } from '../../channels.ts'
import type { AnyStore, Awaitable, ReadOptions } from '../../store.ts'
import { errorFor, outcomeOf, valuesOf } from '../batch-error.ts'

/** Calls that are merged into one. */
export interface Batch {
  /** The number of keys. */
  readonly size: number
  /** The calls of caches that wait for it, if they are known. */
  callers: readonly CallEvent[] | undefined
  has(key: string): boolean
  /** Calls the store, once for all calls of the batch. */
  send(): Awaitable<unknown>
  /** Gives the calls their outcomes, once the store has replied. */
  settle(reply: Awaitable<unknown>): void
}

type Outcome = PromiseSettledResult<unknown>

/** A call of `getMany`. */
interface GetManyCall {
  readonly keys: readonly string[]
  readonly result: Deferred<unknown[]>
}

/** Reads that are merged into one call: `get`s and `getMany`s with the same consistency. */
export class GetBatch implements Batch {
  callers: readonly CallEvent[] | undefined = undefined
  readonly #store: AnyStore
  readonly #options: ReadOptions | undefined
  /** By key, the result of its `get`s; `undefined` if only `getMany`s contain it. */
  readonly #results = new Map<string, Deferred<unknown> | undefined>()
  readonly #getManyCalls: GetManyCall[] = []
  /** The first call, if it is a `getMany`. It is sent unchanged unless a second call is added. */
  #soleCall: GetManyCall | undefined

  constructor(store: AnyStore, options: ReadOptions | undefined) {
    this.#store = store
    this.#options = options
  }

  get size(): number {
    return this.#soleCall?.keys.length ?? this.#results.size
  }

  has(key: string): boolean {
    return this.#soleCall?.keys.includes(key) ?? this.#results.has(key)
  }

  add(key: string): Promise<unknown> {
    if (this.#soleCall !== undefined) this.#mergeSoleCall(this.#soleCall)
    let result = this.#results.get(key)
    if (result === undefined) {
      result = new Deferred()
      this.#results.set(key, result)
    }
    return result.promise
  }

  addMany(keys: readonly string[]): Promise<unknown[]> {
    const call = { keys, result: new Deferred<unknown[]>() }
    if (this.#results.size === 0 && this.#soleCall === undefined) {
      this.#soleCall = call
      return call.result.promise
    }
    if (this.#soleCall !== undefined) this.#mergeSoleCall(this.#soleCall)
    this.#merge(call)
    return call.result.promise
  }

  send(): Awaitable<unknown> {
    if (this.#soleCall !== undefined) return this.#store.getMany(this.#soleCall.keys, this.#options)
    const keys = [...this.#results.keys()]
    return this.#isSoleKey
      ? this.#store.get(keys[0] as string, this.#options)
      : this.#store.getMany(keys, this.#options)
  }

  settle(reply: Awaitable<unknown>): void {
    if (this.#soleCall !== undefined) this.#soleCall.result.resolve(reply as Awaitable<unknown[]>)
    else if (this.#isSoleKey) for (const result of this.#results.values()) result?.resolve(reply)
    else void this.#settleEach(reply as Awaitable<unknown[]>)
  }

  get #isSoleKey(): boolean {
    return this.#results.size === 1 && this.#getManyCalls.length === 0
  }

  async #settleEach(reply: Awaitable<unknown[]>): Promise<void> {
    try {
      const items = await reply
      let index = 0
      for (const result of this.#results.values()) {
        result?.resolve(items[index])
        index++
      }
      if (this.#getManyCalls.length === 0) return
      const positions = new Map(Array.from(this.#results.keys(), (key, at) => [key, at]))
      for (const { keys, result } of this.#getManyCalls)
        result.resolve(keys.map((key) => items[positions.get(key) as number]))
    } catch (error) {
      this.#settleFailed(error)
    }
  }

  /** Each call gets the outcome of its own keys, and an error of its own. */
  #settleFailed(error: unknown): void {
    const outcomes = new Map<string, Outcome>()
    for (const [key, result] of this.#results) {
      const outcome = outcomeOf(error, outcomes.size)
      outcomes.set(key, outcome)
      if (outcome.status === 'fulfilled') result?.resolve(outcome.value)
      else result?.reject(errorFor(key, 'get', outcome.reason))
    }
    for (const { keys, result } of this.#getManyCalls) {
      try {
        result.resolve(valuesOf(keys.map((key) => outcomeOfKey(key, outcomes.get(key) as Outcome))))
      } catch (failure) {
        result.reject(failure)
      }
    }
  }

  #mergeSoleCall(call: GetManyCall): void {
    this.#merge(call)
    this.#soleCall = undefined
  }

  #merge(call: GetManyCall): void {
    for (const key of call.keys) if (!this.#results.has(key)) this.#results.set(key, undefined)
    this.#getManyCalls.push(call)
  }
}

function outcomeOfKey(key: string, outcome: Outcome): Outcome {
  if (outcome.status === 'fulfilled') return outcome
  return { status: 'rejected', reason: errorFor(key, 'getMany', outcome.reason) }
}

/** Items with the same ttl that are stored by one call. */
export class SetBatch implements Batch {
  callers: readonly CallEvent[] | undefined = undefined
  readonly #store: AnyStore
  readonly #ttl: number | undefined
  /**
   * Not an array of entries: V8 allocates array literals that outlive a garbage collection once, as in a burst of calls at
   * the start, in the old generation from then on. There, they keep the items alive.
   */
  readonly #items = new Map<string, unknown>()
  /** The number of calls that have got their outcome. */
  #settledCalls = 0
  /** The key of each call. Created for a failure. */
  #keys: readonly string[] | undefined
  readonly #result = new Deferred<void>()

  constructor(store: AnyStore, ttl: number | undefined) {
    this.#store = store
    this.#ttl = ttl
  }

  get size(): number {
    return this.#items.size
  }

  has(key: string): boolean {
    return this.#items.has(key)
  }

  /** Adds a call. The batch must not contain its key. */
  add(key: string, item: unknown): Promise<void> {
    this.#items.set(key, item)
    return this.#result.promise.then(ignore, this.#settleNextCall)
  }

  send(): Awaitable<void> {
    if (this.#items.size === 1)
      for (const [key, item] of this.#items) return this.#store.set(key, item, this.#ttl)
    return this.#store.setMany([...this.#items], this.#ttl)
  }

  settle(reply: Awaitable<void>): void {
    this.#result.resolve(reply)
  }

  /**
   * Each call gets the outcome of its own key, and an error of its own. One function for all calls, instead of one per
   * call: the functions that were passed to `then` are called in the order in which they were passed.
   */
  readonly #settleNextCall = (error: unknown): void => {
    const index = this.#settledCalls++
    this.#keys ??= [...this.#items.keys()]
    const key = this.#keys[index] as string
    const outcome = outcomeOf(error, index)
    if (outcome.status === 'rejected') throw errorFor(key, 'set', outcome.reason)
  }
}

function ignore(): void {}
