import type { OnReadOpts } from 'node:net'
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions as TlsOptions } from 'node:tls'
import { countdown, DeadlineError, Watchdog } from '@stowage/core/driver'
import { translate } from '../memcached-errors.ts'
import { type NodeAddress, nodeName } from '../node-address.ts'
import {
  type Protocol,
  ProtocolMismatchError,
  type Reply,
  type ReplyKind,
  status,
} from '../protocol/protocol.ts'
import { readOk } from '../protocol/status-replies.ts'
import { WriteBuffer } from '../protocol/write-buffer.ts'
import { Fifo } from './fifo.ts'
import { Server } from './memjs.ts'
import {
  BatchRequest,
  type Failures,
  isReplyTo,
  type PendingRequest,
  SingleRequest,
} from './pending-requests.ts'

export interface WireOptions {
  readonly timeoutMs: number
  readonly connectTimeoutMs: number
  readonly username?: string | undefined
  readonly password?: string | undefined
  /** Uses TLS if given. */
  readonly tls?: TlsOptions | undefined
}

/**
 * The opaque of the first request. As text it is two line ends: a server that supports only text reads the binary
 * request as a line and replies ERROR, instead of waiting for the end of the line.
 */
const firstOpaque = 0x0d0a0d0a

/**
 * One connection from start to end. A new connection gets a new object, so that no partial reply and no handler of the
 * old one can affect it. Requests of one tick are sent in one write, replies are matched to requests by their order, and
 * the connection is closed when a reply is overdue. It ends once, and all requests in flight fail with the reason.
 */
export class Wire extends Server {
  readonly protocol: Protocol
  /** Whether the socket is connected. The server may still refuse the credentials or the protocol. */
  override connected = false
  protected readonly settings: WireOptions
  /** Whether the server does not repeat the opaque of a request for a missing item, as memcached before 1.6.10 does not. */
  protected hasBareMisses = false
  /** Whether the handshake is complete. Before it, an invalid reply shows that the server has another protocol. */
  protected isOpen = false
  protected readonly out: WriteBuffer = new WriteBuffer()
  readonly #address: NodeAddress
  readonly #name: string
  readonly #onEnd: (reason: Error) => void
  readonly #requests = new Fifo<PendingRequest>()
  readonly #watchdog: Watchdog
  readonly #deliver: (reply: Reply) => void
  readonly #flush: () => void
  #socket: Socket | undefined
  #opaque = firstOpaque - 1
  #isFlushScheduled = false
  /** With TLS, and for large writes: whether a write is in flight, and how many requests the next one will contain. */
  #isWriting = false
  #unsentRequests = 0
  #endReason: Error | undefined

  constructor(
    address: NodeAddress,
    protocol: Protocol,
    options: WireOptions,
    onEnd: (reason: Error) => void,
  ) {
    super(address.host, address.port, options.username, options.password)
    this.protocol = protocol
    this.#address = address
    this.#name = nodeName(address)
    this.settings = options
    this.#onEnd = onEnd
    this.#watchdog = new Watchdog(options.timeoutMs, () => this.error(new DeadlineError()))
    this.#deliver = (reply) => this.#onReply(reply)
    this.#flush = () => {
      this.#isFlushScheduled = false
      if (this.#endReason !== undefined) return
      if (options.tls !== undefined) this.#flushTls()
      else if (this.out.isLarge) this.#flushPortions()
      else if (!this.#isWriting) this.out.flush(this.#socket as Socket)
    }
    const decoder = protocol.decoder()
    this.responseHandler = (data) => decoder.receive(data, this.#deliver)
  }

  /** Why the connection has ended; `undefined` while it has not. */
  get endReason(): Error | undefined {
    return this.#endReason
  }

  /** Resolves when the socket is connected, with TLS after the handshake. */
  protected connect(): Promise<void> {
    const { host, port, ip } = this.#address
    const { tls, connectTimeoutMs } = this.settings
    return new Promise((resolve, reject) => {
      const onread = socketReads((data) => this.#onData(data))
      const target = { host: ip || host, port, noDelay: true, keepAlive: true, onread }
      // Certificates are issued for the host name, also when the connection goes to an IP address.
      const sni = isIP(host) === 0 ? { servername: host } : {}
      const socket =
        tls === undefined ? connectTcp(target) : connectTls({ ...sni, ...tls, ...target })
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
        reject(this.#endReason)
      })
    })
  }

  /** Waits until no request is in flight, then closes the connection. */
  async drain(): Promise<void> {
    await this.#watchdog.idle()
    this.close()
  }

  override close(): void {
    this.error(new Error('the connection was closed'))
  }

  /** Ends the connection and fails the requests in flight. */
  override error(reason: Error): void {
    if (this.#endReason !== undefined) return
    this.#endReason = reason
    this.#socket?.destroy()
    this.#onEnd(reason)
    for (let request = this.#requests.shift(); request; request = this.#requests.shift()) {
      this.#watchdog.end()
      request.fail(reason, this.#name)
    }
  }

  /** Called by memjs to write the SASL request. The socket is connected already. */
  override sock(_sasl: boolean, go: (socket: Socket) => void): void {
    if (this.#socket !== undefined && this.#endReason === undefined) go(this.#socket)
  }

  /** Sends a request with one reply. */
  protected single<T>(
    operation: string,
    key: string | undefined,
    read: (reply: Reply) => T,
    write: (opaque: number) => void,
    replyKind?: ReplyKind,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const opaque = this.nextOpaque(operation, key)
      write(opaque)
      this.enqueue(new SingleRequest(opaque, operation, key, read, resolve, reject, replyKind))
    })
  }

  /**
   * Sends a batch of quiet requests. `read` is called with each reply and the index of its request. Resolves to the
   * errors that it throws.
   */
  protected batch(
    operation: string,
    count: number,
    read: (reply: Reply, index: number) => void,
    write: (index: number, opaque: number) => void,
    replyKind?: ReplyKind,
  ): Promise<Failures | undefined> {
    return new Promise((resolve, reject) => {
      const first = this.nextOpaque(operation)
      for (let index = 0; index < count; index++) write(index, (first + index) >>> 0)
      this.#opaque = (first + count) >>> 0
      // Without an opaque in the reply to `end`, any noop can take its place.
      if (this.hasBareMisses) this.protocol.noop(this.out, this.#opaque)
      else this.protocol.end(this.out, this.#opaque)
      this.enqueue(
        new BatchRequest(
          first,
          this.#opaque,
          operation,
          read,
          resolve,
          reject,
          this.hasBareMisses,
          replyKind,
        ),
      )
    })
  }

  /** The opaque of the next request. @throws CacheError if the connection has ended */
  protected nextOpaque(operation: string, key?: string): number {
    if (this.#endReason !== undefined) throw translate(this.#endReason, operation, key, this.#name)
    this.#opaque = (this.#opaque + 1) >>> 0
    return this.#opaque
  }

  /** Registers a request that was written to `out`, and schedules the flush. */
  protected enqueue(request: PendingRequest): void {
    this.#requests.push(request)
    this.#watchdog.begin()
    this.#unsentRequests += request.lastOpaque - request.firstOpaque + 1
    if (this.#isFlushScheduled) return
    this.#isFlushScheduled = true
    // While other requests are in flight, the flush also waits for requests that other sockets cause in this turn.
    if (this.#requests.length > 1) setImmediate(this.#flush)
    else process.nextTick(this.#flush)
  }

  /**
   * With TLS, memcached (at least 1.6.18) does not process decrypted data after a value until more data arrives. So only
   * one write is in flight, and after a write of several requests a `noop` makes the server process the rest.
   */
  #flushTls(): void {
    if (this.#isWriting) return
    this.#isWriting = true
    const needsNoop = this.#unsentRequests > 1
    if (!this.out.isLarge) this.#unsentRequests = 0
    this.#writePortion(() => {
      if (!this.out.isEmpty) this.#flushTls()
      else if (needsNoop) this.#sendNoop()
    })
  }

  /** Sends a large write in portions, so that a slow network is not mistaken for a server that does not reply. */
  #flushPortions(): void {
    if (this.#isWriting) return
    this.#isWriting = true
    this.#writePortion(() => {
      if (!this.out.isEmpty) this.#flushPortions()
    })
  }

  #writePortion(onWritten: () => void): void {
    this.out.flush(this.#socket as Socket, () => {
      this.#isWriting = false
      if (this.#endReason !== undefined) return
      this.#watchdog.progress()
      onWritten()
    })
  }

  #sendNoop(): void {
    const write = (opaque: number) => this.protocol.noop(this.out, opaque)
    this.single('noop', undefined, readOk, write, 'end').catch(() => {})
  }

  #onData(data: Buffer): void {
    if (this.#endReason !== undefined) return
    // Replies arrive in order, so all data belongs to the oldest requests in flight.
    this.#watchdog.progress()
    try {
      this.responseHandler(data)
    } catch (error) {
      this.error(this.isOpen ? new Error((error as Error).message) : (error as Error))
    }
  }

  #isBareMiss({ replyKind }: PendingRequest, { opaque, kind, status: outcome }: Reply): boolean {
    const isMiss = opaque === undefined && kind === 'item' && outcome === status.missing
    return isMiss && replyKind === 'item' && this.hasBareMisses
  }

  #onReply(reply: Reply): void {
    const request = this.#requests.peek()
    // The same data may contain more replies after one that ended the connection.
    if (this.#endReason !== undefined) return
    if (request === undefined || !(isReplyTo(request, reply) || this.#isBareMiss(request, reply))) {
      throw new ProtocolMismatchError('the reply belongs to another request')
    }
    if (!request.onReply(reply, this.#name)) return
    this.#requests.shift()
    this.#watchdog.end()
  }
}

/** The size of Node's own reads. */
const blockBytes = 64 * 1024

/**
 * Makes a socket read into one block, which is reused for every read: `onData` must copy what it keeps. By default Node
 * allocates a block for every read and passes it through a stream, which costs as much as a dozen replies.
 *
 * The block is never replaced: if the application throws in the tick of a read, and survives it by a listener for
 * `uncaughtException`, Node continues to read into the previous block.
 */
function socketReads(onData: (data: Buffer) => void): OnReadOpts {
  const block = Buffer.allocUnsafeSlow(blockBytes)
  return {
    buffer: block,
    callback(bytes) {
      onData(block.subarray(0, bytes))
      return true
    },
  }
}
