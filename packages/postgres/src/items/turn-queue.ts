import { CacheError } from '@stowage/core'
import type { InFlight } from '@stowage/core/driver'
import { Deferred } from '@stowage/core/internal'

/** A call for one key. */
export interface Call {
  readonly key: string
  /** Of what is sent, about. */
  readonly bytes: number
}

export type Outcomes<T> = readonly PromiseSettledResult<T>[]

/** How calls for one key become one, where the outcome of each follows from that of all. */
export interface Merge<C, T> {
  /** Returns one call with the effect of all, or `undefined` if they have to be executed one after another. */
  readonly toOne: (calls: readonly C[]) => C | undefined
  /** Returns the outcome of each call, or `undefined` if they have to be executed one after another. */
  readonly toEach: (
    calls: readonly C[],
    outcome: PromiseSettledResult<T>,
  ) => Outcomes<T> | undefined
}

/** The calls for one key that have not been sent. */
interface Slot<C, T> {
  readonly calls: C[]
  readonly results: Deferred<T>[]
}

const maxKeys = 500
const maxBytes = 4 * 1024 * 1024

/**
 * Collects the calls of one kind in a turn of the event loop, and executes them as one batch. In an idle process, a batch is
 * sent at the end of the current callback. Batches overtake each other, so that calls for a key wait until a batch with it
 * has ended.
 */
export class TurnQueue<C extends Call, T> {
  readonly #execute: (calls: readonly C[]) => Promise<Outcomes<T>>
  readonly #inFlight: InFlight
  readonly #merge: Merge<C, T>
  #slots = new Map<string, Slot<C, T>>()
  #bytes = 0
  readonly #busyKeys = new Set<string>()
  #isScheduled = false

  /**
   * @param execute resolves to the outcome of each call. No two calls have the same key
   * @param inFlight counts the batches of all queues
   * @param merge by default, calls for one key are executed one after another
   */
  constructor(
    execute: (calls: readonly C[]) => Promise<Outcomes<T>>,
    inFlight: InFlight,
    merge: Merge<C, T> = { toOne: () => undefined, toEach: () => undefined },
  ) {
    this.#execute = execute
    this.#inFlight = inFlight
    this.#merge = merge
  }

  add(call: C): Promise<T> {
    const result = new Deferred<T>()
    let slot = this.#slots.get(call.key)
    if (slot === undefined) {
      slot = { calls: [], results: [] }
      this.#slots.set(call.key, slot)
    }
    slot.calls.push(call)
    slot.results.push(result)
    this.#bytes += call.bytes
    if (this.#slots.size >= maxKeys || this.#bytes >= maxBytes) this.#send()
    else this.#schedule()
    return result.promise
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    if (this.#inFlight.count > 0) setImmediate(this.#onTurnEnd)
    else process.nextTick(this.#onTurnEnd)
  }

  readonly #onTurnEnd = (): void => {
    this.#isScheduled = false
    this.#send()
  }

  /** Sends all calls, except those whose key is in a batch that has not ended. */
  #send(): void {
    const waiting = new Map<string, Slot<C, T>>()
    const batch: Slot<C, T>[] = []
    for (const [key, slot] of this.#slots) {
      if (this.#busyKeys.has(key)) waiting.set(key, slot)
      else batch.push(slot)
    }
    this.#slots = waiting
    this.#bytes = 0
    if (batch.length > 0) void this.#executeBatch(batch)
  }

  async #executeBatch(batch: readonly Slot<C, T>[]): Promise<void> {
    const keys = batch.map(keyOf)
    for (const key of keys) this.#busyKeys.add(key)
    this.#inFlight.begin()
    const merged = batch.map(({ calls }) => this.#toOne(calls))
    const sent = merged.filter((call) => call !== undefined)
    const outcomes = sent.length > 0 ? await this.#outcomesOf(sent) : []
    const alone: Slot<C, T>[] = []
    let index = 0
    for (const [position, slot] of batch.entries()) {
      const outcome = merged[position] === undefined ? undefined : outcomes[index++]
      if (!this.#settle(slot, outcome)) alone.push(slot)
    }
    await Promise.all(alone.map((slot) => this.#executeEach(slot)))
    this.#inFlight.end()
    for (const key of keys) this.#busyKeys.delete(key)
    if (this.#slots.size > 0) this.#schedule()
  }

  #toOne(calls: readonly C[]): C | undefined {
    return calls.length === 1 ? calls[0] : this.#merge.toOne(calls)
  }

  /** Returns whether the outcome of each call follows from that of the merged one. */
  #settle({ calls, results }: Slot<C, T>, outcome: PromiseSettledResult<T> | undefined): boolean {
    if (outcome === undefined) return false
    const outcomes = calls.length === 1 ? [outcome] : this.#merge.toEach(calls, outcome)
    if (outcomes === undefined) return false
    for (const [index, result] of results.entries()) settle(result, outcomes[index])
    return true
  }

  async #executeEach({ calls, results }: Slot<C, T>): Promise<void> {
    for (const [index, call] of calls.entries()) {
      const [outcome] = await this.#outcomesOf([call])
      settle(results[index], outcome)
    }
  }

  /** Each call gets an error of its own, with its key. */
  async #outcomesOf(calls: readonly C[]): Promise<Outcomes<T>> {
    try {
      return await this.#execute(calls)
    } catch (error) {
      return calls.map(({ key }) => ({
        status: 'rejected',
        reason: CacheError.is(error) ? CacheError.forCall(error, { key }) : error,
      }))
    }
  }
}

function keyOf({ calls }: { readonly calls: readonly Call[] }): string {
  return (calls[0] as Call).key
}

function settle<T>(
  result: Deferred<T> | undefined,
  outcome: PromiseSettledResult<T> | undefined,
): void {
  if (outcome?.status === 'fulfilled') result?.resolve(outcome.value)
  else result?.reject(outcome?.reason)
}
