import { Holding } from '../locks/holding.ts'
import { type RunOptions, runOptionNames } from '../locks/lock.ts'
import type { LockContext, LockName } from '../locks/lock-context.ts'
import { Tenure } from '../locks/tenure.ts'
import { checkFunction } from '../options/check-arguments.ts'
import { checkOptionNames } from '../options/check-options.ts'
import { type Awaitable, strongRead } from '../store.ts'
import { milliseconds } from '../time/duration.ts'
import { randomId } from '../values/random-id.ts'
import type { ConcurrencyLimit } from './limit.ts'

export interface SlotLimitOptions {
  readonly name: string
  /** The storage key in whose queue calls wait. */
  readonly queueKey: string
  /** The storage keys of the slots. */
  readonly slotKeys: readonly string[]
  /** In milliseconds. */
  readonly ttl: number
}

/** A slot that a call has taken. */
interface Slot {
  readonly key: string
  readonly tenure: Tenure
}

/**
 * A limit of concurrent calls: each of its slots is a lock. So the slot of a process that has ended becomes free by the
 * clock of the backend, and no process has to compare times.
 */
export class SlotLimit implements ConcurrencyLimit {
  readonly #context: LockContext
  readonly #options: SlotLimitOptions

  constructor(context: LockContext, options: SlotLimitOptions) {
    this.#context = context
    this.#options = options
  }

  async run<T>(
    work: (held: { readonly signal: AbortSignal }) => Awaitable<T>,
    options: RunOptions = {},
  ): Promise<T> {
    checkFunction(work, "limit.run(async ({ signal }) => …, { wait: '5s' })")
    checkOptionNames('limit.run', options, runOptionNames, "limit.run(work, { wait: '5s' })")
    const { key, tenure } = await this.#take(options)
    const { name, queueKey } = this.#options
    const lockName: LockName = { name, key, queueKey, fenceKey: '' }
    return new Holding(this.#context, lockName, tenure).run(
      ({ signal }) => work({ signal }),
      options.signal,
    )
  }

  async #take({ wait = 0, signal }: RunOptions): Promise<Slot> {
    let slot: Slot | undefined
    const attempt = async (isFree: boolean) => {
      slot = await this.#tryTake(isFree)
      return slot !== undefined
    }
    const request = {
      waitMs: milliseconds(wait, 'concurrency: wait'),
      signal,
      attempt,
      isShared: true,
    }
    const problem = `has no free slot of ${this.#options.slotKeys.length}.`
    const keyOf = () => (slot as Slot).key
    await this.#context.acquire(this.#options, request, {
      operation: 'concurrency',
      problem,
      keyOf,
    })
    return slot as unknown as Slot
  }

  /** Tries a random slot first, which is free in most cases, and then those that are free. */
  async #tryTake(isFree: boolean): Promise<Slot | undefined> {
    const { slotKeys } = this.#options
    const start = Math.floor(Math.random() * slotKeys.length)
    const keys = [...slotKeys.slice(start), ...slotKeys.slice(0, start)]
    const first = isFree ? await this.#begin(keys[0] as string) : undefined
    if (first !== undefined || (isFree && keys.length === 1)) return first
    const items = await this.#context.store.getMany(keys, strongRead)
    for (const [index, key] of keys.entries()) {
      const slot = items[index] === undefined ? await this.#begin(key) : undefined
      if (slot !== undefined) return slot
    }
    return undefined
  }

  async #begin(key: string): Promise<Slot | undefined> {
    const facts = { ttl: this.#options.ttl, owner: randomId(12) }
    const tenure = await Tenure.begin(this.#context.store, key, facts)
    return tenure && { key, tenure }
  }
}
