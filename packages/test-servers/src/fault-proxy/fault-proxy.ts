import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { ProxiedConnection } from './proxied-connection.ts'
import { type Direction, ProxyState } from './proxy-state.ts'

const host = '127.0.0.1'

export type Directions = Direction | 'both'

/** A port of the loopback interface, or a function that returns it for each new connection. */
export type Target = number | (() => number)

/** Starts a TCP proxy on a free loopback port. It forwards everything unchanged until a fault is injected. */
export async function startProxy(target: Target): Promise<FaultProxy> {
  const proxy = new FaultProxy(target)
  await proxy.listen()
  return proxy
}

/** A TCP proxy that injects network faults. */
export class FaultProxy {
  port = 0
  /** Connections forwarded since the start. */
  accepted = 0
  /** Connections reset by `refuse` since the start. */
  refused = 0
  readonly #state = new ProxyState()
  readonly #connections = new Set<ProxiedConnection>()
  readonly #server: Server
  #target: Target
  #refusing = false

  constructor(target: Target) {
    this.#target = target
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) =>
      this.#onConnection(client),
    )
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(0, host, () => {
        this.port = (this.#server.address() as AddressInfo).port
        resolve()
      })
    })
  }

  get url(): string {
    return `redis://${host}:${this.port}`
  }

  /** Number of open connections. */
  get connections(): number {
    return this.#connections.size
  }

  /** Bytes delivered since the start. */
  get bytes(): Record<Direction, number> {
    return { ...this.#state.bytes }
  }

  /** Number of chunks in which those bytes were delivered. */
  get chunks(): Record<Direction, number> {
    return { ...this.#state.chunks }
  }

  /**
   * Delays all bytes and keeps their order. Applies at once, also to bytes that are held already. At most 1 MiB is held
   * per connection and direction; above that the sender has to wait.
   */
  delay(ms: number, directions: Directions = 'both'): void {
    this.#apply(this.#state.delayMs, ms, directions)
  }

  /**
   * Turns the proxy into a black hole: connections stay open and new ones are accepted, but neither bytes nor the end
   * of a stream arrive. When switched off, the held bytes are delivered, as TCP does after a network has recovered.
   */
  mute(on: boolean, directions: Directions = 'both'): void {
    this.#apply(this.#state.muted, on, directions)
  }

  /** Resets all open connections and discards the held bytes. New connections are accepted. */
  cut(): void {
    for (const connection of this.#connections) connection.reset()
  }

  /**
   * Resets new connections at once; open connections are not affected. The port stays bound, so that no other process
   * can take it.
   */
  refuse(on: boolean): void {
    this.#refusing = on
  }

  /**
   * Drops a reply, once: after `after` more bytes of replies, the next reply bytes on any connection are dropped and
   * that connection ends. The server has executed the command. Resolves when this has happened.
   */
  cutReplies({ after = 0 }: { readonly after?: number } = {}): Promise<void> {
    return new Promise((resolve) => {
      this.#state.cutReplies(after, resolve)
    })
  }

  /** Forwards new connections to another target. Open connections keep theirs. */
  retarget(target: Target): void {
    this.#target = target
  }

  /** Resets all connections and closes the port. Idempotent. */
  async stop(): Promise<void> {
    this.refuse(true)
    const closed = new Promise((resolve) => {
      this.#server.close(resolve)
    })
    this.cut()
    await closed
  }

  #apply<T>(setting: Record<Direction, T>, value: T, directions: Directions): void {
    if (directions !== 'replies') setting.requests = value
    if (directions !== 'requests') setting.replies = value
    for (const connection of this.#connections) connection.flush()
  }

  #onConnection(client: Socket): void {
    if (this.#refusing) {
      this.#refuse(client)
      return
    }
    this.accepted++
    const port = typeof this.#target === 'function' ? this.#target() : this.#target
    const server = connect({ port, host, allowHalfOpen: true, noDelay: true })
    const connection = new ProxiedConnection(client, server, this.#state)
    this.#connections.add(connection)
    connection.closed.then(() => this.#connections.delete(connection))
  }

  #refuse(client: Socket): void {
    this.refused++
    client.on('error', () => {})
    client.resetAndDestroy()
  }
}
