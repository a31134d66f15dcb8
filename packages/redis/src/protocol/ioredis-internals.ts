import { tracingChannel } from 'node:diagnostics_channel'
import type { Writable } from 'node:stream'
import { types } from 'node:util'
import { Cluster, Redis } from 'ioredis'
import { incomplete, ReplyParser, unsupported } from './reply-parser.ts'

/**
 * The members of an ioredis client that are used here although its documentation does not mention them. They are the
 * same in the versions 5.9 to 6. No other file uses them, and this one only after it has verified them.
 */
interface Internals {
  readonly status: string
  /** The socket of the current connection. Its first listener to `'data'` decodes the replies. */
  readonly stream?: Writable
  /** The commands without a reply, in the order in which they were written. Each connection has a new one. */
  readonly commandQueue: CommandQueue
  /** Tools for tracing replace it. */
  sendCommand(...args: never[]): unknown
}

interface CommandQueue {
  readonly length: number
  push(item: QueueItem): unknown
  pop(): QueueItem | undefined
  peekFront(): QueueItem | undefined
  peekBack(): QueueItem | undefined
  shift(): QueueItem | undefined
}

interface QueueItem {
  readonly command: QueuedCommand
}

/** What ioredis reads of a command in its queue. */
interface QueuedCommand {
  /** In lower case. ioredis treats some commands specially, none of those sent here. */
  readonly name: string
  /** ioredis attaches the arguments to its errors. They must not reach a log. */
  readonly args: readonly unknown[]
  /** One of them is called when the reply arrives, or when the connection is lost. */
  resolve(reply: unknown): void
  reject(error: unknown): void
}

/** An item of the queue and its command in one object. Those of ioredis are two objects. */
export interface QueueEntry extends QueuedCommand {
  readonly command: QueueEntry
}

type DataListener = (chunk: Buffer) => void

const tracing = tracingChannel('ioredis:command')
const original = originalMethod(Redis)
const originalOfCluster = originalMethod(Cluster)

/** `sendCommand`, if it is the method of the class. A function that wraps a method has a prototype, or is a proxy. */
function originalMethod({ prototype }: { readonly prototype: object }): unknown {
  const { sendCommand } = prototype as Internals
  const isMethod = typeof sendCommand === 'function' && !Object.hasOwn(sendCommand, 'prototype')
  return isMethod && !types.isProxy(sendCommand) ? sendCommand : undefined
}

/** False if a tool for tracing has replaced `sendCommand` of the client, or subscribes to the channels of ioredis. */
export function isUntraced(client: object): boolean {
  const { sendCommand } = client as Internals
  if (sendCommand === undefined || tracing.hasSubscribers) return false
  return sendCommand === original || sendCommand === originalOfCluster
}

/**
 * Lets sockets fail again after they have failed. If the certificate of a server is not trusted, Node closes the socket, and
 * an alert that the server sends then is another error. ioredis listens to the first one only, so that the second would end
 * the process.
 */
export function allowLateErrors(client: Redis): void {
  const listen = () => {
    const { stream } = client as unknown as Internals
    if (stream?.listeners('error').includes(ignore) === false) stream.on('error', ignore)
  }
  client.on('error', listen)
  client.on('close', listen)
}

function ignore(): void {}

/**
 * The queue of the commands without a reply of one connection. Requests that are written here enter it like those of
 * ioredis, and receive the reply at their place, or a rejection when the connection is lost. Replies to them are parsed
 * here, which takes less time than the decoder of ioredis. Everything else is left to that decoder: errors, replies to
 * commands that ioredis has sent, and what arrives unrequested.
 */
export class ReplyQueue {
  readonly stream: Writable
  readonly #client: Internals
  readonly #items: CommandQueue
  readonly #parser = new ReplyParser()
  /** The listener of ioredis, once it has been replaced. */
  #decode: DataListener | undefined
  /** Whether the decoder of ioredis may have received a part of a reply. */
  #isDecoding = false
  /** Something arrived that was not requested, so the end of a reply cannot be recognised any more. */
  #isPassive = false

  /**
   * The queue of the current connection, after a PING has been answered at its place in it. `undefined` if the connection
   * is lost before.
   * @throws Error if ioredis does not have the expected members, or they behave differently
   */
  static async open(client: Redis): Promise<ReplyQueue | undefined> {
    const internals = client as unknown as Internals
    const { stream } = internals
    if (stream === undefined || !isWritable(internals, stream)) return undefined
    if (!isQueue(internals.commandQueue)) throw new Error('it has no such command queue')
    if (lastingListeners(stream).length !== 1) throw new Error('its socket has other listeners')
    const isProven = await provePing(client, stream, internals.commandQueue)
    return isProven ? new ReplyQueue(internals, stream) : undefined
  }

  private constructor(client: Internals, stream: Writable) {
    this.stream = stream
    this.#client = client
    this.#items = client.commandQueue
  }

  get isEmpty(): boolean {
    return this.#items.length === 0
  }

  /** False if it is that of an earlier connection, or if ioredis itself has to send the commands. */
  get isUsable(): boolean {
    return this.#client.stream === this.stream && isUntraced(this.#client)
  }

  /**
   * Must be called immediately before requests are written: `entries` receive the replies to them. Returns false if the
   * connection is lost.
   */
  expect(entries: readonly QueueEntry[]): boolean {
    if (!isWritable(this.#client, this.stream)) return false
    if (this.#decode === undefined && this.isEmpty) this.#replaceListener()
    for (const entry of entries) this.#items.push(entry)
    return true
  }

  /** No part of a reply may have arrived: the queue is empty. */
  #replaceListener(): void {
    const [decode, ...others] = lastingListeners(this.stream)
    if (decode === undefined || others.length > 0) return
    this.#decode = decode
    this.stream.removeListener('data', decode)
    this.stream.prependListener('data', (chunk: Buffer) => this.#onData(chunk))
  }

  #onData(chunk: Buffer): void {
    if (this.#isDecoding) {
      this.#passOn(chunk)
      return
    }
    this.#parser.add(chunk)
    while (!this.#parser.isAtEnd) {
      const item = this.#items.peekFront()
      // An item of ioredis and its command are different objects.
      const isOwn = item !== undefined && (item as unknown) === item.command
      const reply = isOwn ? this.#parser.next() : unsupported
      if (reply === incomplete) return
      if (reply === unsupported) {
        // No command that is sent here has an array of anything else in its reply. ioredis cannot decode the rest of one.
        if (this.#parser.isInReply) this.stream.destroy(new Error('unexpected reply'))
        else this.#passOn(this.#parser.takeRest())
        return
      }
      this.#items.shift()?.command.resolve(reply)
    }
  }

  /** From here on ioredis decodes the replies, until it has decoded all that were requested. */
  #passOn(chunk: Buffer): void {
    if (this.isEmpty) this.#isPassive = true
    this.#decode?.(chunk)
    this.#isDecoding = this.#isPassive || !this.isEmpty
  }
}

function isWritable({ status }: Internals, stream: Writable): boolean {
  return status === 'ready' && stream.writable && !stream.writableEnded
}

function isQueue(queue: CommandQueue | undefined): boolean {
  const methods = ['push', 'pop', 'peekFront', 'peekBack', 'shift'] as const
  if (typeof queue?.length !== 'number') return false
  return methods.every((name) => typeof queue[name] === 'function')
}

/** A listener that was added by `once` has a wrapper. ioredis uses those for its own timeouts. */
function lastingListeners(stream: Writable): DataListener[] {
  const listeners = stream.rawListeners('data') as DataListener[]
  return listeners.filter((listener) => !('listener' in listener))
}

/** The reply to the second PING, which differs from that to the first one. */
const echo = 'stowage'

/**
 * Lets ioredis send a PING, puts an entry at its place in the queue, and resolves to true once the entry has the reply. The
 * queue always has as many items as there are requests, so that no other command gets a reply that is not its own.
 * Resolves to false if the connection is lost before.
 * @throws Error if the entry does not get the reply
 */
async function provePing(client: Redis, stream: Writable, queue: CommandQueue): Promise<boolean> {
  const probe = replacePing(client, queue)
  const answer = await client.ping(echo).catch((error: Error) => error)
  const isInOrder = isReplyTo(answer, echo)
  if (isInOrder && isReplyTo(probe.answer, 'PONG')) return true
  if (client.stream !== stream || !isWritable(client as unknown as Internals, stream)) return false
  // Other commands would get the replies of their predecessors.
  if (!isInOrder) stream.destroy(new Error('unexpected reply'))
  throw new Error('its command queue passes over an entry')
}

function replacePing(client: Redis, queue: CommandQueue): Probe {
  const { length } = queue
  // The probe settles it. If the connection is lost, the next one fails as well.
  client.ping().catch(() => {})
  const item = queue.pop()
  if (item?.command?.name !== 'ping' || queue.length !== length) {
    if (item !== undefined && queue.length === length) queue.push(item)
    throw new Error('its command queue has other items')
  }
  const probe = new Probe(item.command)
  queue.push(probe)
  if (queue.length === length + 1 && queue.peekBack() === probe) return probe
  if (queue.length === length) queue.push(item)
  throw new Error('its command queue does not accept an entry')
}

/** Takes the place of a command of ioredis, and settles it. */
class Probe implements QueueEntry {
  readonly command: QueueEntry = this
  readonly name = 'ping'
  readonly args: readonly never[] = []
  readonly #replaced: QueuedCommand
  answer: unknown

  constructor(replaced: QueuedCommand) {
    this.#replaced = replaced
  }

  resolve(reply: unknown): void {
    this.answer = reply
    this.#replaced.resolve(reply)
  }

  reject(error: unknown): void {
    this.answer = error
    this.#replaced.reject(error)
  }
}

/** Whether the answer is the expected text, or the reply of a server on which the user may not send PING. */
function isReplyTo(answer: unknown, text: string): boolean {
  return String(answer) === text || (answer instanceof Error && answer.name === 'ReplyError')
}
