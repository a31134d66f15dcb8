import { CacheError } from '@stowage/core'
import { Deferred, type Lifecycle } from '@stowage/core/driver'

/** Larger turns are split, because a transaction needs new pages for everything that it changes. */
const maxWritesPerTransaction = 256

/** A call that writes. */
interface Write {
  readonly operation: string
  readonly keys: readonly string[]
  readonly apply: () => unknown
  readonly settled: Deferred<unknown>
}

export interface WriteTarget {
  /** Executes `work` in a transaction. It throws if nothing was written. */
  transact<T>(work: () => T): T
  /** Whether the current transaction has become so large that it should be committed. */
  isLarge(): boolean
  /** Called with the error of a write whose transaction has failed. Returns the error of the call. */
  onFailure(error: unknown, operation: string, keys: readonly string[]): CacheError
}

/** The outcome of `apply`. */
type Outcome = { readonly value: unknown } | { readonly error: CacheError }

/**
 * Collects the writes of a turn of the event loop, and executes them in one transaction. In an idle process, the first
 * write is executed at the end of the current callback; in a busy one, at the end of the turn.
 */
export class WriteQueue {
  readonly #target: WriteTarget
  readonly #lifecycle: Lifecycle
  #writes: Write[] = []
  readonly #keys = new Set<string>()
  /** Whether a transaction was already committed in this turn. */
  #hasFlushed = false
  readonly #flush = (): void => this.flush()
  readonly #onTurnEnd = (): void => {
    this.#hasFlushed = false
  }

  constructor(target: WriteTarget, lifecycle: Lifecycle) {
    this.#target = target
    this.#lifecycle = lifecycle
  }

  get isEmpty(): boolean {
    return this.#writes.length === 0
  }

  /** Whether a write of the key is waiting. Reads must flush it first. */
  has(key: string): boolean {
    return this.#keys.has(key)
  }

  /** Executes `apply` in the transaction of this turn. */
  add<T>(operation: string, keys: readonly string[], apply: () => T): Promise<T> {
    this.#lifecycle.assertOpen(operation)
    if (this.#writes.length === 0) this.#schedule()
    for (const key of keys) this.#keys.add(key)
    const settled = new Deferred<unknown>()
    this.#writes.push({ operation, keys, apply, settled })
    return settled.promise as Promise<T>
  }

  /** Executes all writes that wait, now. */
  flush(): void {
    const writes = this.#writes
    if (writes.length === 0) return
    this.#writes = []
    this.#keys.clear()
    for (let done = 0; done < writes.length; ) done = this.#commit(writes, done)
  }

  #schedule(): void {
    if (this.#hasFlushed) setImmediate(this.#flush)
    else {
      this.#hasFlushed = true
      process.nextTick(this.#flush)
      setImmediate(this.#onTurnEnd)
    }
  }

  /** Executes writes from `start` in one transaction. Returns the index of the first that was not executed. */
  #commit(writes: readonly Write[], start: number): number {
    const outcomes: Outcome[] = []
    try {
      this.#target.transact(() => {
        const end = Math.min(start + maxWritesPerTransaction, writes.length)
        for (let index = start; index < end; index++) {
          outcomes.push(execute(writes[index] as Write))
          if (this.#target.isLarge()) break
        }
      })
    } catch (error) {
      return this.#commitEach(
        writes.slice(start, start + Math.max(1, outcomes.length)),
        start,
        error,
      )
    }
    for (const [index, outcome] of outcomes.entries()) {
      settle(writes[start + index] as Write, outcome)
    }
    return start + outcomes.length
  }

  /** After a failure: executes each write in a transaction of its own, so that they do not share the failure. */
  #commitEach(writes: readonly Write[], start: number, error: unknown): number {
    for (const write of writes) {
      settle(write, writes.length === 1 ? this.#failed(write, error) : this.#commitOne(write))
    }
    return start + writes.length
  }

  #commitOne(write: Write): Outcome {
    try {
      return this.#target.transact(() => execute(write))
    } catch (error) {
      return this.#failed(write, error)
    }
  }

  #failed({ operation, keys }: Write, error: unknown): Outcome {
    return { error: this.#target.onFailure(error, operation, keys) }
  }
}

/** Errors of the call itself, such as a value that is too large, leave the transaction intact. */
function execute({ apply }: Write): Outcome {
  try {
    return { value: apply() }
  } catch (error) {
    if (CacheError.is(error)) return { error }
    throw error
  }
}

function settle({ settled }: Write, outcome: Outcome): void {
  if ('error' in outcome) settled.reject(outcome.error)
  else settled.resolve(outcome.value)
}
