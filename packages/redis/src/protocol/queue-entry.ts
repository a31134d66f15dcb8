import { Deferred } from '@stowage/core/driver'
import { SetFailures } from './command-client.ts'

const noArguments: readonly never[] = []

/**
 * A request in the command queue of ioredis: the item of the queue and its command in one object, with the members that
 * ioredis reads. It settles the request when the reply arrives or the connection is lost.
 */
export interface QueueEntry {
  readonly command: QueueEntry
  /** The name in lower case. ioredis treats some commands specially, none of those used here. */
  readonly name: string
  /** ioredis attaches the arguments to its errors. They must not reach a log. */
  readonly args: readonly never[]
  resolve(reply: unknown): void
  reject(error: unknown): void
}

/** Whether the first item of the queue is a request that was sent here. */
export function isQueueEntry(item: { readonly command: unknown } | undefined): boolean {
  // The item of ioredis and its command are different objects.
  return item !== undefined && item === item.command
}

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
