import type { Awaitable } from '../store.ts'

interface Tail {
  /** Settles with the last write. */
  write: Promise<unknown> | undefined
  /** Settles with all reads since the last write. */
  reads: Promise<unknown> | undefined
  inFlight: number
}

/** Lets the calls of each key begin only when the calls they depend on have settled. */
export class KeyOrder {
  readonly #tails = new Map<string, Tail>()

  /** Makes the call, at once or when the calls of its keys that came before have settled. */
  run<T>(keys: readonly string[], isWrite: boolean, call: () => Awaitable<T>): Awaitable<T> {
    const earlier = this.#earlierCalls(keys, isWrite)
    const result = earlier.length === 0 ? call() : Promise.all(earlier).then(call)
    if (result instanceof Promise) this.#track(keys, isWrite, result)
    return result
  }

  /** Divides the entries of a call into those whose keys are idle and those that have to wait. */
  split<T>(entries: readonly T[], keyOf: (entry: T) => string, isWrite: boolean): [T[], T[]] {
    const idle: T[] = []
    const busy: T[] = []
    for (const entry of entries) {
      const tail = this.#tails.get(keyOf(entry))
      const waits = tail !== undefined && (isWrite || tail.write !== undefined)
      if (waits) busy.push(entry)
      else idle.push(entry)
    }
    return [idle, busy]
  }

  /** Resolves when no call is in flight. */
  async idle(): Promise<void> {
    while (this.#tails.size > 0) {
      await Promise.all([...this.#tails.values()].flatMap(({ write, reads }) => [write, reads]))
    }
  }

  #earlierCalls(keys: readonly string[], isWrite: boolean): Promise<unknown>[] {
    const earlier: Promise<unknown>[] = []
    if (this.#tails.size === 0) return earlier
    for (const key of keys) {
      const tail = this.#tails.get(key)
      if (tail?.write !== undefined) earlier.push(tail.write)
      if (isWrite && tail?.reads !== undefined) earlier.push(tail.reads)
    }
    return earlier
  }

  #track(keys: readonly string[], isWrite: boolean, result: Promise<unknown>): void {
    const settled = result.then(ignore, ignore)
    for (const key of keys) this.#append(key, isWrite, settled)
    settled.then(() => {
      for (const key of keys) this.#remove(key, settled)
    })
  }

  #append(key: string, isWrite: boolean, settled: Promise<unknown>): void {
    let tail = this.#tails.get(key)
    if (tail === undefined) {
      tail = { write: undefined, reads: undefined, inFlight: 0 }
      this.#tails.set(key, tail)
    }
    tail.inFlight++
    if (isWrite) {
      tail.write = settled
      tail.reads = undefined
    } else {
      tail.reads = tail.reads === undefined ? settled : Promise.all([tail.reads, settled])
    }
  }

  #remove(key: string, settled: Promise<unknown>): void {
    const tail = this.#tails.get(key)
    if (tail === undefined) return
    if (tail.write === settled) tail.write = undefined
    tail.inFlight--
    if (tail.inFlight === 0) this.#tails.delete(key)
  }
}

function ignore(): void {}
