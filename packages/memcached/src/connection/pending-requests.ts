import { translate } from '../memcached-errors.ts'
import type { Reply } from '../protocol/protocol.ts'

/** A request that was sent and has no complete reply yet. Replies arrive in the order of the requests. */
export interface PendingRequest {
  /** The range of opaques that its replies may have. */
  readonly firstOpaque: number
  readonly lastOpaque: number
  /** Handles a reply. Returns whether it was the last one. */
  onReply(reply: Reply): boolean
  fail(error: unknown): void
}

/** A request with one reply. */
export class SingleRequest<T> implements PendingRequest {
  readonly firstOpaque: number
  readonly lastOpaque: number
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
    this.firstOpaque = opaque
    this.lastOpaque = opaque
    this.#operation = operation
    this.#key = key
    this.#read = read
    this.#resolve = resolve
    this.#reject = reject
  }

  onReply(reply: Reply): boolean {
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
 * A batch of quiet requests, which get a reply only for a value or an error, and a `noop`, whose reply ends the batch.
 * The opaque of a reply identifies its request. An error may have none; its index is −1.
 */
export class BatchRequest implements PendingRequest {
  readonly firstOpaque: number
  readonly lastOpaque: number
  readonly #operation: string
  readonly #read: (reply: Reply, index: number) => void
  readonly #resolve: () => void
  readonly #reject: (error: unknown) => void
  #failure: unknown

  constructor(
    firstOpaque: number,
    lastOpaque: number,
    operation: string,
    read: (reply: Reply, index: number) => void,
    resolve: () => void,
    reject: (error: unknown) => void,
  ) {
    this.firstOpaque = firstOpaque
    this.lastOpaque = lastOpaque
    this.#operation = operation
    this.#read = read
    this.#resolve = resolve
    this.#reject = reject
  }

  onReply(reply: Reply): boolean {
    if (reply.isEnd) {
      if (this.#failure === undefined) this.#resolve()
      else this.fail()
      return true
    }
    try {
      const { opaque } = reply
      this.#read(reply, opaque === undefined ? -1 : (opaque - this.firstOpaque) >>> 0)
    } catch (error) {
      this.#failure ??= error
    }
    return false
  }

  /** An error that the server replied with takes precedence over the reason the connection ended. */
  fail(error?: unknown): void {
    this.#reject(translate(this.#failure ?? error, this.#operation))
  }
}
