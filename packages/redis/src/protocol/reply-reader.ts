import type { Writable } from 'node:stream'
import { isQueueEntry } from './queue-entry.ts'
import type { QueueingClient } from './queueing-client.ts'
import { incomplete, ReplyParser, unsupported } from './reply-parser.ts'

type DataListener = (chunk: Buffer) => void

/**
 * Parses the replies to the requests of an outbox, which takes less time than the decoder of ioredis. Everything else is
 * left to that decoder: errors, replies to commands that ioredis has sent, and what arrives unrequested.
 */
export class ReplyReader {
  readonly #client: QueueingClient
  readonly #stream: Writable
  readonly #parser = new ReplyParser()
  readonly #decode: DataListener
  /** Whether the decoder of ioredis may have received a part of a reply. */
  #isDecoding = false
  /** Something arrived that was not requested, so the end of a reply cannot be recognised any more. */
  #isPassive = false

  /**
   * Replaces the listener of ioredis, unless a reply is pending, or there are other listeners. Returns whether it has.
   */
  static attach(client: QueueingClient, stream: Writable): boolean {
    if (client.commandQueue.length > 0 || client.commandQueue.peekFront === undefined) return false
    // A listener that was added by `once` has a wrapper. ioredis uses those for its own timeouts.
    const listeners = stream
      .rawListeners('data')
      .filter((listener) => !('listener' in listener)) as DataListener[]
    const [decode] = listeners
    if (decode === undefined || listeners.length > 1) return false
    const reader = new ReplyReader(client, stream, decode)
    stream.removeListener('data', decode)
    stream.prependListener('data', (chunk: Buffer) => reader.#onData(chunk))
    return true
  }

  private constructor(client: QueueingClient, stream: Writable, decode: DataListener) {
    this.#client = client
    this.#stream = stream
    this.#decode = decode
  }

  #onData(chunk: Buffer): void {
    if (this.#isDecoding) {
      this.#passOn(chunk)
      return
    }
    this.#parser.add(chunk)
    while (!this.#parser.isAtEnd) {
      const reply = isQueueEntry(this.#client.commandQueue.peekFront())
        ? this.#parser.next()
        : unsupported
      if (reply === incomplete) return
      if (reply === unsupported) {
        // No command that is sent here has an array of anything else in its reply.
        if (this.#parser.isInReply) this.#stream.destroy(new Error('unexpected reply'))
        else this.#passOn(this.#parser.takeRest())
        return
      }
      this.#client.commandQueue.shift()?.command.resolve(reply)
    }
  }

  /** From here on ioredis decodes the replies, until it has decoded all that were requested. */
  #passOn(chunk: Buffer): void {
    if (this.#client.commandQueue.length === 0) this.#isPassive = true
    this.#decode(chunk)
    this.#isDecoding = this.#isPassive || this.#client.commandQueue.length > 0
  }
}
