import { translate } from '../memcached-errors.ts'
import { ProtocolMismatchError, type Reply, type ReplyKind } from '../protocol/protocol.ts'

/** A request that was sent and has no complete reply yet. Replies arrive in the order of the requests. */
export interface PendingRequest {
  /** The range of opaques that its replies may have. */
  readonly firstOpaque: number
  readonly lastOpaque: number
  /** The kind of its replies, besides errors. */
  readonly replyKind: ReplyKind
  /** Whether its last reply has the last opaque, or is that of a `noop`. */
  readonly hasEnd: boolean
  /** Whether its last reply is that of a `noop` without an opaque. */
  readonly hasBareEnd: boolean
  /** Handles a reply. Returns whether it was the last one. `node` is the name of the node, for errors. */
  onReply(reply: Reply, node: string): boolean
  fail(error: unknown, node: string): void
}

/**
 * Whether a reply belongs to the oldest request in flight. A reply that does not shows that replies are missing or
 * superfluous: every later one could be that of another request.
 */
export function isReplyTo(request: PendingRequest, { opaque, kind, isEnd }: Reply): boolean {
  if (opaque === undefined) {
    if (isEnd) return request.hasBareEnd
    return kind === 'error' || (kind !== 'item' && kind === request.replyKind)
  }
  const { firstOpaque, lastOpaque, hasEnd } = request
  if (hasEnd && opaque === lastOpaque) return true
  return !isEnd && (opaque - firstOpaque) >>> 0 <= (lastOpaque - firstOpaque) >>> 0
}

/** A request with one reply. */
export class SingleRequest<T> implements PendingRequest {
  readonly firstOpaque: number
  readonly lastOpaque: number
  readonly replyKind: ReplyKind
  readonly hasEnd: boolean
  readonly hasBareEnd: boolean
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
    replyKind: ReplyKind = 'item',
  ) {
    this.firstOpaque = opaque
    this.lastOpaque = opaque
    this.replyKind = replyKind
    this.hasEnd = replyKind === 'end'
    this.hasBareEnd = this.hasEnd
    this.#operation = operation
    this.#key = key
    this.#read = read
    this.#resolve = resolve
    this.#reject = reject
  }

  onReply(reply: Reply, node: string): boolean {
    try {
      this.#resolve(this.#read(reply))
    } catch (error) {
      // The connection ends, and all requests in flight fail with it.
      if (error instanceof ProtocolMismatchError) throw error
      this.fail(error, node)
    }
    return true
  }

  fail(error: unknown, node: string): void {
    this.#reject(translate(error, this.#operation, this.#key, node))
  }
}

/** The errors of single keys of a batch, by their index. */
export type Failures = ReadonlyMap<number, unknown>

/**
 * A batch of quiet requests, which get a reply only for a value or an error, and a `noop`, whose reply ends the batch.
 * The opaque of a reply identifies its request. An error may have none, and then counts for the whole batch.
 */
export class BatchRequest implements PendingRequest {
  readonly firstOpaque: number
  readonly lastOpaque: number
  readonly replyKind: ReplyKind
  readonly hasEnd = true
  readonly hasBareEnd: boolean
  readonly #operation: string
  readonly #read: (reply: Reply, index: number) => void
  readonly #resolve: (failures: Failures | undefined) => void
  readonly #reject: (error: unknown) => void
  #nextIndex = 0
  #failures: Map<number, unknown> | undefined
  #failure: unknown

  constructor(
    firstOpaque: number,
    lastOpaque: number,
    operation: string,
    read: (reply: Reply, index: number) => void,
    resolve: (failures: Failures | undefined) => void,
    reject: (error: unknown) => void,
    hasBareEnd = false,
    replyKind: ReplyKind = 'item',
  ) {
    this.hasBareEnd = hasBareEnd
    this.firstOpaque = firstOpaque
    this.lastOpaque = lastOpaque
    this.replyKind = replyKind
    this.#operation = operation
    this.#read = read
    this.#resolve = resolve
    this.#reject = reject
  }

  onReply(reply: Reply, node: string): boolean {
    if (reply.isEnd || reply.opaque === this.lastOpaque) {
      if (this.#failure === undefined) this.#resolve(this.#failures)
      else this.fail(undefined, node)
      return true
    }
    const { opaque } = reply
    const index = opaque === undefined ? -1 : (opaque - this.firstOpaque) >>> 0
    // The server replies in the order of the requests. All statistics have the opaque of their one request.
    if (opaque !== undefined && index < this.#nextIndex) throw new ProtocolMismatchError(wrongOrder)
    this.#nextIndex = this.replyKind === 'stat' ? 0 : index + 1
    try {
      this.#read(reply, index)
    } catch (error) {
      if (error instanceof ProtocolMismatchError) throw error
      this.#onError(error, index, node)
    }
    return false
  }

  /** An error that the server replied with takes precedence over the reason the connection ended. */
  fail(error: unknown, node: string): void {
    this.#reject(translate(this.#failure ?? error, this.#operation, undefined, node))
  }

  #onError(error: unknown, index: number, node: string): void {
    if (index < 0) {
      this.#failure ??= error
      return
    }
    this.#failures ??= new Map()
    this.#failures.set(index, translate(error, this.#operation, undefined, node))
  }
}

const wrongOrder = 'the replies are not in the order of the requests'
