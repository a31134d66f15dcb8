import { CacheError } from '@stowage/core'
import type { Lifecycle } from '@stowage/core/driver'
import { Deferred } from '@stowage/core/internal'
import { BusyError } from '../lmdb-errors.ts'

/** Larger turns are split, because a transaction needs new pages for everything that it changes. */
const maxWritesPerTransaction = 256
/** While another process writes, the next attempt follows after this share of the time waited so far, within limits. */
const delayShare = 1 / 30
const minDelayMs = 1
const maxDelayMs = 20

/** A call that writes. */
interface Write {
  readonly operation: string
  readonly keys: readonly string[]
  readonly apply: () => unknown
  readonly settled: Deferred<unknown>
  /** When the first attempt failed because another process was writing. */
  waitsSince: number | undefined
}

export interface WriteTarget {
  /** Executes `work` in a transaction. It throws if nothing was written: `BusyError` while another process writes. */
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
 * write is executed at the end of the current callback; in a busy one, at the end of the turn. While another process
 * writes, they wait in their order, and the event loop continues.
 */
export class WriteQueue {
  readonly #target: WriteTarget
  readonly #lifecycle: Lifecycle
  readonly #timeoutMs: number
  #writes: Write[] = []
  readonly #keys = new Set<string>()
  /** Whether a transaction was already committed in this turn. */
  #hasFlushed = false
  /** The next attempt, while another process writes. */
  #retry: NodeJS.Timeout | undefined
  #idle: Deferred<void> | undefined
  readonly #flush = (): void => void this.flush()
  readonly #onTurnEnd = (): void => {
    this.#hasFlushed = false
  }

  /** @param timeoutMs how long a write waits while another process writes */
  constructor(target: WriteTarget, lifecycle: Lifecycle, timeoutMs: number) {
    this.#target = target
    this.#lifecycle = lifecycle
    this.#timeoutMs = timeoutMs
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
    this.#writes.push({ operation, keys, apply, settled, waitsSince: undefined })
    return settled.promise as Promise<T>
  }

  /** Executes all writes that wait, now. Returns whether none is left, which is false while another process writes. */
  flush(): boolean {
    if (this.#retry !== undefined) return false
    return this.#tryFlush()
  }

  /** Resolves when no write waits any more. */
  async idle(): Promise<void> {
    if (this.flush()) return
    this.#idle ??= new Deferred()
    await this.#idle.promise
  }

  #tryFlush(): boolean {
    const writes = this.#writes
    if (writes.length === 0) return true
    this.#writes = []
    let done = 0
    try {
      while (done < writes.length) done = this.#commit(writes, done)
    } catch (error) {
      if (!(error instanceof BusyError)) throw error
      done += this.#expire(writes.slice(done), error)
      this.#writes = [...writes.slice(done), ...this.#writes]
      if (!this.isEmpty) this.#retryLater()
    }
    if (done > 0) this.#collectKeys()
    return this.isEmpty
  }

  /** Rejects writes that have waited for too long, and returns their number. The oldest ones are the first. */
  #expire(writes: readonly Write[], error: BusyError): number {
    const now = performance.now()
    const waited = writes.findLastIndex(({ waitsSince }) => waitsSince !== undefined)
    for (const write of writes.slice(waited + 1)) write.waitsSince = now
    const oldest = now - this.#timeoutMs
    const index = writes.findIndex(({ waitsSince = now }) => waitsSince > oldest)
    const expired = index === -1 ? writes : writes.slice(0, index)
    for (const write of expired) settle(write, this.#failed(write, error))
    return expired.length
  }

  #retryLater(): void {
    const { waitsSince = 0 } = this.#writes[0] as Write
    const waitedMs = performance.now() - waitsSince
    const delayMs = Math.min(Math.max(waitedMs * delayShare, minDelayMs), maxDelayMs)
    this.#retry = setTimeout(() => this.#onRetry(), Math.min(delayMs, this.#timeoutMs - waitedMs))
  }

  #collectKeys(): void {
    this.#keys.clear()
    if (this.isEmpty) return
    for (const { keys } of this.#writes) for (const key of keys) this.#keys.add(key)
  }

  #onRetry(): void {
    this.#retry = undefined
    if (!this.#tryFlush()) return
    this.#idle?.resolve()
    this.#idle = undefined
  }

  #schedule(): void {
    if (this.#hasFlushed) setImmediate(this.#flush)
    else {
      this.#hasFlushed = true
      process.nextTick(this.#flush)
      setImmediate(this.#onTurnEnd)
    }
  }

  /**
   * Executes writes from `start` in one transaction. Returns the index of the first that was not executed.
   *
   * @throws BusyError if none was
   */
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
      if (error instanceof BusyError) throw error
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

  /**
   * After a failure: executes each write in a transaction of its own, so that they do not share the failure. Returns the
   * index of the first that was not executed.
   */
  #commitEach(writes: readonly Write[], start: number, error: unknown): number {
    for (const [index, write] of writes.entries()) {
      const outcome = writes.length === 1 ? this.#failed(write, error) : this.#commitOne(write)
      if (outcome === undefined) return start + index
      settle(write, outcome)
    }
    return start + writes.length
  }

  /** Returns `undefined` while another process writes. */
  #commitOne(write: Write): Outcome | undefined {
    try {
      return this.#target.transact(() => execute(write))
    } catch (error) {
      return error instanceof BusyError ? undefined : this.#failed(write, error)
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
