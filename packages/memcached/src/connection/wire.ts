import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions as TlsOptions } from 'node:tls'
import { countdown, DeadlineError, Watchdog } from '@stowage/core/driver'
import { translate } from '../memcached-errors.ts'
import type { NodeAddress } from '../node-address.ts'
import { OtherProtocol, type Protocol, type Reply } from '../protocol/protocol.ts'
import { readAnything } from '../protocol/status-replies.ts'
import { Outbox } from '../protocol/write-buffer.ts'
import { Fifo } from './fifo.ts'
import { Server } from './memjs.ts'
import { BatchRequest, type Request, SingleRequest } from './pending-requests.ts'
import { intoBlocks } from './socket-reads.ts'

export interface WireOptions {
  readonly timeoutMs: number
  readonly connectTimeoutMs: number
  readonly username?: string | undefined
  readonly password?: string | undefined
  /** Speaks TLS where it is given. */
  readonly tls?: TlsOptions | undefined
}

/**
 * The number of the first request. Seen as text it is two line ends: a server that speaks text only takes the request
 * for a line and says ERROR, where it would wait for more otherwise.
 */
const firstOpaque = 0x0d0a0d0a

/**
 * One connection, from its beginning to its end: nothing of it, neither half an answer nor a handler, can reach the
 * next one. Requests of one tick leave in one write, answers are told apart by their order, and a server that leaves
 * one unanswered for too long is hung up on. It ends once, and everything under way fails with the reason.
 */
export class Wire extends Server {
  readonly protocol: Protocol
  /** Whether there is a way to the server; it may still refuse to talk. */
  override connected = false
  protected readonly settings: WireOptions
  protected readonly out: Outbox = new Outbox()
  readonly #address: NodeAddress
  readonly #onEnd: (reason: Error) => void
  readonly #waiting = new Fifo<Request>()
  readonly #watchdog: Watchdog
  readonly #deliver: (reply: Reply) => void
  readonly #flush: () => void
  #socket: Socket | undefined
  #opaque = firstOpaque - 1
  #scheduled = false
  /** With TLS: whether a write is under way, and how many requests wait for the next one. */
  #writing = false
  #unsent = 0
  #ended: Error | undefined

  constructor(
    address: NodeAddress,
    protocol: Protocol,
    options: WireOptions,
    onEnd: (reason: Error) => void,
  ) {
    super(address.host, address.port, options.username, options.password)
    this.protocol = protocol
    this.#address = address
    this.settings = options
    this.#onEnd = onEnd
    this.#watchdog = new Watchdog(options.timeoutMs, () => this.error(new DeadlineError()))
    this.#deliver = (reply) => this.#take(reply)
    this.#flush = () => {
      this.#scheduled = false
      if (this.#ended !== undefined) return
      if (options.tls !== undefined) this.#flushSecurely()
      else this.out.flush(this.#socket as Socket)
    }
    const decoder = protocol.decoder()
    this.responseHandler = (piece) => decoder.receive(piece, this.#deliver)
  }

  /** Why it has ended, if it has. */
  get ended(): Error | undefined {
    return this.#ended
  }

  /** Resolves when there is a way to the server. */
  protected connect(): Promise<void> {
    const { host, port, ip } = this.#address
    const { tls, connectTimeoutMs } = this.settings
    return new Promise((resolve, reject) => {
      const onread = intoBlocks((piece) => this.#receive(piece))
      const where = { host: ip || host, port, noDelay: true, keepAlive: true, onread }
      // The certificate is of the name, also where the address is connected to.
      const name = isIP(host) === 0 ? { servername: host } : {}
      const socket =
        tls === undefined ? connectTcp(where) : connectTls({ ...name, ...tls, ...where })
      this.#socket = socket
      const stopCountdown = countdown(connectTimeoutMs, () => this.error(new DeadlineError()))
      socket.once(tls === undefined ? 'connect' : 'secureConnect', () => {
        stopCountdown()
        this.connected = true
        resolve()
      })
      socket.on('error', (error) => this.error(error))
      socket.on('end', () => this.error(new Error('the server closed the connection')))
      socket.on('close', () => {
        stopCountdown()
        this.error(new Error('the server closed the connection'))
        reject(this.#ended)
      })
    })
  }

  /** Resolves when everything under way is answered or has failed, and the connection has ended. */
  async drain(): Promise<void> {
    await this.#watchdog.idle()
    this.close()
  }

  override close(): void {
    this.error(new Error('the connection was closed'))
  }

  /** Ends the connection. */
  override error(reason: Error): void {
    if (this.#ended !== undefined) return
    this.#ended = reason
    this.#socket?.destroy()
    this.#onEnd(reason)
    for (let request = this.#waiting.shift(); request; request = this.#waiting.shift()) {
      this.#watchdog.end()
      request.fail(reason)
    }
  }

  /** memjs writes its handshake by it; there is nothing to wait for here. */
  override sock(_sasl: boolean, go: (socket: Socket) => void): void {
    if (this.#socket !== undefined && this.#ended === undefined) go(this.#socket)
  }

  /** Sends a request with one answer. */
  protected single<T>(
    operation: string,
    key: string | undefined,
    read: (reply: Reply) => T,
    write: (opaque: number) => void,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const opaque = this.next(operation, key)
      write(opaque)
      this.sent(new SingleRequest(opaque, operation, key, read, resolve, reject))
    })
  }

  /** Sends requests that are answered only where there is something to say. */
  protected batch(
    operation: string,
    count: number,
    take: (reply: Reply, index: number) => void,
    write: (index: number, opaque: number) => void,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const first = this.next(operation)
      for (let index = 0; index < count; index++) write(index, (first + index) >>> 0)
      this.#opaque = (first + count) >>> 0
      this.protocol.noop(this.out, this.#opaque)
      this.sent(new BatchRequest(first, this.#opaque, operation, take, resolve, reject))
    })
  }

  /** The number of a request. @throws CacheError where the connection has ended */
  protected next(operation: string, key?: string): number {
    if (this.#ended !== undefined) throw translate(this.#ended, operation, key)
    this.#opaque = (this.#opaque + 1) >>> 0
    return this.#opaque
  }

  /** To be told of every request that was written. */
  protected sent(request: Request): void {
    this.#waiting.push(request)
    this.#watchdog.begin()
    this.#unsent += request.last - request.first + 1
    if (this.#scheduled) return
    this.#scheduled = true
    // While the server is busy with others, there is time to wait for what other sockets bring in this turn.
    if (this.#waiting.length > 1) setImmediate(this.#flush)
    else process.nextTick(this.#flush)
  }

  /**
   * With TLS, memcached (1.6.18 at least) forgets what it has decrypted behind a value until something else arrives.
   * So each write goes by itself, and one of several requests is followed by a request that makes it look again.
   */
  #flushSecurely(): void {
    if (this.#writing) return
    this.#writing = true
    const several = this.#unsent > 1
    this.#unsent = 0
    this.out.flush(this.#socket as Socket, () => {
      this.#writing = false
      if (this.#ended !== undefined) return
      if (!this.out.isEmpty) this.#flushSecurely()
      else if (several) this.#nudge()
    })
  }

  #nudge(): void {
    this.single('nudge', undefined, readAnything, (opaque) =>
      this.protocol.noop(this.out, opaque),
    ).catch(() => {})
  }

  #receive(piece: Buffer): void {
    if (this.#ended !== undefined) return
    try {
      this.responseHandler(piece)
    } catch (error) {
      this.error(error as Error)
    }
  }

  #take(reply: Reply): void {
    const request = this.#waiting.peek()
    // What a request that has ended left behind in the same piece.
    if (this.#ended !== undefined) return
    const { opaque } = reply
    if (request === undefined || (opaque !== undefined && !isOf(request, opaque))) {
      throw new OtherProtocol('the answers are out of order')
    }
    if (!request.take(reply)) return
    this.#waiting.shift()
    this.#watchdog.end()
  }
}

function isOf({ first, last }: Request, opaque: number): boolean {
  return (opaque - first) >>> 0 <= (last - first) >>> 0
}
