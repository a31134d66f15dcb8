import type { Writable } from 'node:stream'
import type { Argument } from './command-client.ts'
import type { QueueEntry } from './queue-entry.ts'
import type { QueueingClient } from './queueing-client.ts'
import { ReplyReader } from './reply-reader.ts'
import type { Request } from './request.ts'
import { TurnEnd } from './turn-end.ts'

/** Longer texts are split, so that the server can start with the first requests while the others are copied. */
const charsPerWrite = 64 * 1024

/**
 * Collects the requests of a turn of the event loop and sends them in one write. A request enters the queue of the
 * client at the moment it is written, so that the order of the queue is that of the bytes.
 */
export class Outbox {
  readonly #client: QueueingClient
  readonly #turnEnd = new TurnEnd(() => this.flush())
  /** The stream whose replies are parsed here. */
  #stream: Writable | undefined
  #entries: QueueEntry[] = []
  /** Complete parts of the requests. */
  #parts: Argument[] = []
  #hasBytes = false
  /** The requests, or the rest of them after `parts`. */
  #text = ''

  constructor(client: QueueingClient) {
    this.#client = client
  }

  /**
   * Adds requests that have waited for the end of a turn already: they are sent when this callback ends. `entry`
   * receives all replies.
   */
  addBatched(requests: readonly Request[], entry: QueueEntry): void {
    for (const request of requests) this.#add(request, entry)
    this.#turnEnd.reached()
  }

  /** Adds a request. If others are in flight, it is sent when the callbacks of the turn have run. */
  add(request: Request, entry: QueueEntry): void {
    this.#add(request, entry)
    this.#turnEnd.add(this.#client.commandQueue.length > 0)
  }

  flush(): void {
    if (this.#entries.length === 0) return
    const entries = this.#entries
    this.#entries = []
    const { stream } = this.#client
    if (stream !== undefined && isWritable(this.#client.status, stream)) this.#send(stream, entries)
    else for (const entry of entries) entry.reject(new Error('the connection was lost'))
    if (this.#parts.length > 0) this.#parts = []
    this.#hasBytes = false
    this.#text = ''
  }

  #add(request: Request, entry: QueueEntry): void {
    this.#entries.push(entry)
    if (typeof request === 'string') this.#text += request
    else this.#addParts(request)
    if (this.#text.length < charsPerWrite) return
    this.#parts.push(this.#text)
    this.#text = ''
  }

  #addParts(request: readonly Argument[]): void {
    // The first and the last part are text.
    const last = request.length - 1
    this.#parts.push(`${this.#text}${request[0] as string}`)
    for (let index = 1; index < last; index++) this.#parts.push(request[index] as Argument)
    this.#text = request[last] as string
    this.#hasBytes = true
  }

  #send(stream: Writable, entries: readonly QueueEntry[]): void {
    if (stream !== this.#stream && ReplyReader.attach(this.#client, stream)) this.#stream = stream
    const { commandQueue } = this.#client
    for (const entry of entries) commandQueue.push(entry)
    if (this.#hasBytes) stream.cork()
    for (const part of this.#parts) {
      if (typeof part === 'string') writeText(stream, part)
      else stream.write(part)
    }
    if (this.#text !== '') writeText(stream, this.#text)
    if (this.#hasBytes) stream.uncork()
  }
}

function isWritable(status: string, stream: Writable): boolean {
  return status === 'ready' && stream.writable && !stream.writableEnded
}

/** Writes text as UTF-8. Copying the bytes of ASCII text is faster than converting it. */
function writeText(stream: Writable, text: string): void {
  const isAscii = Buffer.byteLength(text) === text.length
  stream.write(text, isAscii ? 'latin1' : 'utf8')
}
