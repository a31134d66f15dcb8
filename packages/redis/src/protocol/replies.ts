import { Deferred } from '@stowage/core/internal'
import { SetFailures } from './command-client.ts'
import type { QueueEntry } from './ioredis-internals.ts'

const noArguments: readonly never[] = []

/** A request with one reply, to which the promise resolves. */
export class SingleReply<T> extends Deferred<T> implements QueueEntry {
  readonly command: QueueEntry = this as unknown as QueueEntry
  readonly name: string
  readonly args: readonly never[] = noArguments

  constructor(name: string) {
    super()
    this.name = name
  }
}

/** Requests for several keys, whose replies are only counted. It is in the queue once per request. */
export class ReplyCounter implements QueueEntry {
  readonly command: QueueEntry = this
  readonly name: string
  readonly args: readonly never[] = noArguments
  readonly count: number
  readonly #result = new Deferred<void>()
  #received = 0
  #failures: Map<number, unknown> | undefined

  constructor(name: string, count: number) {
    this.name = name
    this.count = count
  }

  get promise(): Promise<void> {
    return this.#result.promise
  }

  resolve(): void {
    this.#received++
    if (this.#received === this.count) this.#settle()
  }

  reject(error: unknown): void {
    this.#failures ??= new Map()
    this.#failures.set(this.#received, error)
    this.resolve()
  }

  #settle(): void {
    if (this.#failures === undefined) this.#result.resolve()
    else this.#result.reject(new SetFailures(this.#failures))
  }
}
