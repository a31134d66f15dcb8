import type { Writable } from 'node:stream'
import type { Argument } from './command-client.ts'
import type { QueueEntry } from './queue-entry.ts'
import type { QueueingClient } from './queueing-client.ts'
import { ReplyReader } from './reply-reader.ts'
import { type Request, RequestEncoder } from './request.ts'
import { TurnEnd } from './turn-end.ts'

/**
 * Collects the requests of a turn of the event loop and sends them in one write. A request enters the queue of the
 * client at the moment it is written, so that the order of the queue is that of the bytes.
 */
export class Outbox {
  readonly #client: QueueingClient
  readonly #turnEnd = new TurnEnd(() => this.flush())
  /** The stream whose replies are parsed here. */
  #stream: Writable | undefined
  #requests: Request[] = []
  /** The entry of each command. */
  #entries: QueueEntry[] = []
  /** Whether the last text was ASCII, as the next one probably is. */
  #wasAscii = true

  constructor(client: QueueingClient) {
    this.#client = client
  }

  /**
   * Adds a request that has waited for the end of a turn already: it is sent when this callback ends. `entry` receives
   * the reply to each command.
   */
  addBatched(request: Request, entry: QueueEntry): void {
    this.#requests.push(request)
    for (let count = request.commandCount; count > 0; count--) this.#entries.push(entry)
    this.#turnEnd.reached()
  }

  /** Adds a request. If others are in flight, it is sent when the callbacks of the turn have run. */
  add(request: Request, entry: QueueEntry): void {
    this.#requests.push(request)
    this.#entries.push(entry)
    this.#turnEnd.add(this.#client.commandQueue.length > 0)
  }

  flush(): void {
    if (this.#entries.length === 0) return
    const requests = this.#requests
    const entries = this.#entries
    this.#requests = []
    this.#entries = []
    const { stream } = this.#client
    if (stream !== undefined && isWritable(this.#client.status, stream)) {
      this.#send(stream, requests, entries)
    } else for (const entry of entries) entry.reject(new Error('the connection was lost'))
  }

  #send(stream: Writable, requests: readonly Request[], entries: readonly QueueEntry[]): void {
    if (stream !== this.#stream && ReplyReader.attach(this.#client, stream)) this.#stream = stream
    const { commandQueue } = this.#client
    for (const entry of entries) commandQueue.push(entry)
    const encoder = new RequestEncoder(requests)
    while (!encoder.isAtEnd) this.#sendBlock(stream, encoder)
  }

  #sendBlock(stream: Writable, encoder: RequestEncoder): void {
    let parts = encoder.encode(this.#wasAscii ? charCount : Buffer.byteLength)
    const isAscii = parts.every(isAsciiOrBytes)
    if (this.#wasAscii && !isAscii) parts = encoder.encode(Buffer.byteLength)
    this.#wasAscii = isAscii
    encoder.advance()
    if (parts.length > 1) stream.cork()
    for (const part of parts) {
      if (typeof part === 'string') stream.write(part, isAscii ? 'latin1' : 'utf8')
      else stream.write(part)
    }
    if (parts.length > 1) stream.uncork()
  }
}

function isWritable(status: string, stream: Writable): boolean {
  return status === 'ready' && stream.writable && !stream.writableEnded
}

/**
 * The number of bytes of ASCII text, which is checked once for all requests: counting the bytes of each argument would
 * copy texts that are not contiguous in memory, such as a result of `JSON.stringify`.
 */
function charCount(text: string): number {
  return text.length
}

/** ASCII text is written as Latin-1: copying the bytes is faster than converting to UTF-8. */
function isAsciiOrBytes(part: Argument): boolean {
  return typeof part !== 'string' || Buffer.byteLength(part) === part.length
}
