import { answerWithin } from '../calls/deadline.ts'
import { Deferred } from '../calls/deferred.ts'
import type { Awaitable } from '../store.ts'

/** A write of a key, or several that overlap, and the reads after it until the next write. */
interface Epoch {
  readonly key: string
  /** The number of writes in flight. Counted, like all calls: a chain of overlapping calls would never end. */
  writes: number
  /** Resolves when no write is in flight; created for a read that waits for it. */
  written: Deferred<void> | undefined
  /** The operation whose writes overlap; `undefined` for a single write. */
  readonly operation: string | undefined
  /** What its overlapping writes wait for, until that has settled. */
  earlier: Promise<unknown> | undefined
  /** The number of calls in flight. */
  inFlight: number
  /** Resolves when no call is in flight; created for a write that waits for it. */
  idle: Deferred<void> | undefined
}

/** Stands for every key. No key is empty. */
const everyKey = ''

/**
 * Delays a write until the earlier calls of its keys have settled, and a read until the earlier writes have.
 *
 * @example
 * const order = new KeyOrder()
 * await Promise.all([
 *   order.run(['a'], true, async () => 'a write'),
 *   order.run(['a'], false, async () => 'a read after it'),
 * ])
 */
export class KeyOrder {
  /** The last epoch of each key with calls in flight. */
  readonly #epochs = new Map<string, Epoch>()

  readonly #waitMs: number | undefined

  /** @param waitMs how long a call may wait for earlier calls */
  constructor(waitMs?: number) {
    this.#waitMs = waitMs
  }

  /**
   * Makes the call: immediately, or when the earlier calls of its keys on which it depends have settled.
   * @param onTimeout returns the error of a call that has waited too long, and is not made
   */
  run<T>(
    keys: readonly string[],
    isWrite: boolean,
    call: () => Promise<T>,
    onTimeout?: () => Error,
  ): Promise<T>
  run<T>(
    keys: readonly string[],
    isWrite: boolean,
    call: () => Awaitable<T>,
    onTimeout?: () => Error,
  ): Awaitable<T>
  run<T>(
    keys: readonly string[],
    isWrite: boolean,
    call: () => Awaitable<T>,
    onTimeout: () => Error = unlimited,
  ): Awaitable<T> {
    const earlier = this.#earlierCalls(keys, isWrite)
    if (earlier.length > 0) return this.#wait(Promise.all(earlier), keys, isWrite, call, onTimeout)
    const result = call()
    if (result instanceof Promise) this.#track(keys, isWrite, result)
    return result
  }

  /** Makes a write of every key, such as a `clear`: all later calls wait for it as well. */
  runForEveryKey<T>(call: () => Promise<T>): Promise<T> {
    return this.run([...new Set([...this.#epochs.keys(), everyKey])], true, call)
  }

  /**
   * Makes a write that may overlap with others of the same operation for its key, such as increments. It waits for all other
   * earlier calls of the key, and they for it: of an add and an increment that both find a mark, either could replace it.
   *
   * @param argument that of the call; without it, each call would need a function of its own
   * @param onTimeout returns the error of a call that has waited too long, and is not made
   */
  overlap<A, T>(
    operation: string,
    key: string,
    call: (argument: A) => Promise<T>,
    argument: A,
    onTimeout?: () => Error,
  ): Promise<T>
  overlap<A, T>(
    operation: string,
    key: string,
    call: (argument: A) => Awaitable<T>,
    argument: A,
    onTimeout?: () => Error,
  ): Awaitable<T>
  overlap<A, T>(
    operation: string,
    key: string,
    call: (argument: A) => Awaitable<T>,
    argument: A,
    onTimeout: () => Error = unlimited,
  ): Awaitable<T> {
    const latest = this.#latestOf(key)
    const joins = latest?.operation === operation && latest.inFlight === latest.writes
    const earlier = joins ? latest.earlier : latest && idleOf(latest)
    const turn = earlier && this.#turnAfter(earlier, onTimeout)
    const result = turn === undefined ? call(argument) : turn.then(() => call(argument))
    if (!(result instanceof Promise)) return result
    const epoch = joins ? latest : this.#add(key, operation, earlier)
    epoch.writes++
    epoch.inFlight++
    const end = () => this.#end(epoch, true)
    settledAfter(earlier, result).then(end, end)
    return result
  }

  /** Splits the entries of a call into those that need not wait and those that have to wait for earlier calls. */
  split<T>(entries: readonly T[], keyOf: (entry: T) => string, isWrite: boolean): [T[], T[]] {
    const idle: T[] = []
    const busy: T[] = []
    for (const entry of entries) {
      const epoch = this.#latestOf(keyOf(entry))
      const waits = epoch !== undefined && (isWrite || epoch.writes > 0)
      if (waits) busy.push(entry)
      else idle.push(entry)
    }
    return [idle, busy]
  }

  /** Whether no call is in flight. */
  get isIdle(): boolean {
    return this.#epochs.size === 0
  }

  /** Whether calls of one of the keys are in flight. */
  isBusy(keys: readonly string[]): boolean {
    return !this.isIdle && keys.some((key) => this.has(key))
  }

  /** The same for one key. */
  has(key: string): boolean {
    return this.#latestOf(key) !== undefined
  }

  /** Resolves when the calls have settled that are in flight now for keys with this prefix. */
  async settled(prefix: string): Promise<void> {
    const inFlight = [...this.#epochs].filter(([key]) => key.startsWith(prefix))
    await Promise.all(inFlight.map(([, epoch]) => idleOf(epoch)))
  }

  /**
   * Resolves when the writes have settled that are in flight now for keys with this prefix. Not those that overlap: of a
   * counter that all requests share, one is always in flight.
   */
  async written(prefix: string): Promise<void> {
    const writing = [...this.#epochs.values()].filter(
      ({ key, writes, operation }) =>
        writes > 0 && operation === undefined && key.startsWith(prefix),
    )
    await Promise.all(writing.map(writtenOf))
  }

  /** Resolves when no call is in flight. */
  async idle(): Promise<void> {
    while (this.#epochs.size > 0) await Promise.all([...this.#epochs.values()].map(idleOf))
  }

  #latestOf(key: string): Epoch | undefined {
    if (this.#epochs.size === 0) return undefined
    return this.#epochs.get(key) ?? this.#epochs.get(everyKey)
  }

  #wait<T>(
    earlier: Promise<unknown>,
    keys: readonly string[],
    isWrite: boolean,
    call: () => Awaitable<T>,
    onTimeout: () => Error,
  ): Promise<T> {
    const result = this.#turnAfter(earlier, onTimeout).then(call)
    this.#track(keys, isWrite, settledAfter(earlier, result))
    return result
  }

  /** Rejects if the earlier calls take too long. */
  #turnAfter(earlier: Promise<unknown>, onTimeout: () => Error): Promise<unknown> {
    return this.#waitMs === undefined ? earlier : answerWithin(this.#waitMs, earlier, onTimeout)
  }

  #earlierCalls(keys: readonly string[], isWrite: boolean): Promise<unknown>[] {
    const earlier: Promise<unknown>[] = []
    if (this.#epochs.size === 0) return earlier
    for (const key of keys) {
      const epoch = this.#latestOf(key)
      if (epoch !== undefined && isWrite) earlier.push(idleOf(epoch))
      else if (epoch !== undefined && epoch.writes > 0) earlier.push(writtenOf(epoch))
    }
    return earlier
  }

  #track(keys: readonly string[], isWrite: boolean, result: Promise<unknown>): void {
    const epochs = keys.map((key) => this.#begin(key, isWrite))
    const end = () => {
      for (const epoch of epochs) this.#end(epoch, isWrite)
    }
    result.then(end, end)
  }

  /** Counts a call in the epoch of its key. A write begins a new one. */
  #begin(key: string, isWrite: boolean): Epoch {
    let epoch = isWrite ? undefined : this.#epochs.get(key)
    if (epoch === undefined) {
      const latest = isWrite ? undefined : this.#latestOf(key)
      epoch = this.#add(key, undefined, undefined)
      if (latest !== undefined) this.#addWriteOf(latest, epoch)
    }
    if (isWrite) epoch.writes++
    epoch.inFlight++
    return epoch
  }

  /** The reads of this epoch wait for a write of every key. */
  #addWriteOf(earlier: Epoch, epoch: Epoch): void {
    epoch.writes++
    epoch.inFlight++
    idleOf(earlier).then(() => this.#end(epoch, true))
  }

  #add(key: string, operation: string | undefined, earlier: Promise<unknown> | undefined): Epoch {
    const shape = { writes: 0, inFlight: 0, written: undefined, idle: undefined }
    const epoch: Epoch = { ...shape, key, operation, earlier }
    this.#epochs.set(key, epoch)
    earlier?.then(() => {
      epoch.earlier = undefined
    })
    return epoch
  }

  #end(epoch: Epoch, isWrite: boolean): void {
    if (isWrite && --epoch.writes === 0) epoch.written?.resolve()
    epoch.inFlight--
    if (epoch.inFlight > 0) return
    epoch.idle?.resolve()
    if (this.#epochs.get(epoch.key) === epoch) this.#epochs.delete(epoch.key)
  }
}

/** The error of a call that may wait without limit. */
function unlimited(): Error {
  return new Error('unreachable')
}

/** A call that is not made settles before the earlier ones, which later calls must wait for as well. */
function settledAfter<T>(earlier: Promise<unknown> | undefined, result: Promise<T>): Promise<T> {
  return earlier === undefined ? result : earlier.then(() => result)
}

function writtenOf(epoch: Epoch): Promise<void> {
  epoch.written ??= new Deferred()
  return epoch.written.promise
}

function idleOf(epoch: Epoch): Promise<void> {
  epoch.idle ??= new Deferred()
  return epoch.idle.promise
}
