import { translate } from '../memcached-errors.ts'
import type { Reply } from '../protocol/protocol.ts'

/** Something sent that waits for its answer. Answers come in the order of the requests. */
export interface Request {
  /** The numbers its answers may have. */
  readonly first: number
  readonly last: number
  /** Takes an answer; says whether it was the last one. */
  take(reply: Reply): boolean
  fail(error: unknown): void
}

/** A request with one answer. */
export class SingleRequest<T> implements Request {
  readonly first: number
  readonly last: number
  readonly #operation: string
  readonly #key: string | undefined
  readonly #read: (reply: Reply) => T
  readonly #resolve: (result: T) => void
  readonly #reject: (error: unknown) => void

  constructor(
    opaque: number,
    operation: string,
    key: string | undefined,
    read: (reply: Reply) => T,
    resolve: (result: T) => void,
    reject: (error: unknown) => void,
  ) {
    this.first = opaque
    this.last = opaque
    this.#operation = operation
    this.#key = key
    this.#read = read
    this.#resolve = resolve
    this.#reject = reject
  }

  take(reply: Reply): boolean {
    try {
      this.#resolve(this.#read(reply))
    } catch (error) {
      this.fail(error)
    }
    return true
  }

  fail(error: unknown): void {
    this.#reject(translate(error, this.#operation, this.#key))
  }
}

/**
 * Many requests that are answered only where there is something to say, and one that ends them. The answer to each is
 * told apart by its number; a failure may come without one, and then its index is −1.
 */
export class BatchRequest implements Request {
  readonly first: number
  readonly last: number
  readonly #operation: string
  readonly #take: (reply: Reply, index: number) => void
  readonly #resolve: () => void
  readonly #reject: (error: unknown) => void
  #failure: unknown

  constructor(
    first: number,
    last: number,
    operation: string,
    take: (reply: Reply, index: number) => void,
    resolve: () => void,
    reject: (error: unknown) => void,
  ) {
    this.first = first
    this.last = last
    this.#operation = operation
    this.#take = take
    this.#resolve = resolve
    this.#reject = reject
  }

  take(reply: Reply): boolean {
    if (reply.isEnd) {
      if (this.#failure === undefined) this.#resolve()
      else this.fail()
      return true
    }
    try {
      const { opaque } = reply
      this.#take(reply, opaque === undefined ? -1 : (opaque - this.first) >>> 0)
    } catch (error) {
      this.#failure ??= error
    }
    return false
  }

  /** What the server had to say comes before how the connection ended. */
  fail(error?: unknown): void {
    this.#reject(translate(this.#failure ?? error, this.#operation))
  }
}
