import type { Socket } from 'node:net'
import type { ProxyState } from './proxy-state.ts'
import { Relay } from './relay.ts'

/** A connection from a client, and the connection to the server that the proxy opened for it. */
export class ProxiedConnection {
  /** Resolves when both sockets are closed. */
  readonly closed: Promise<unknown>
  readonly #client: Socket
  readonly #server: Socket
  readonly #relays: readonly Relay[]

  constructor(client: Socket, server: Socket, state: ProxyState) {
    this.#client = client
    this.#server = server
    const onTruncated = (lastBytes: Buffer) => this.#endAfter(lastBytes)
    this.#relays = [
      new Relay({ source: client, sink: server, direction: 'requests', state, onTruncated }),
      new Relay({ source: server, sink: client, direction: 'replies', state, onTruncated }),
    ]
    for (const socket of [client, server]) socket.on('error', () => this.reset())
    this.closed = Promise.all([client, server].map(untilClosed))
  }

  /** Delivers the chunks in both directions that are no longer delayed or muted. */
  flush(): void {
    for (const relay of this.#relays) relay.flush()
  }

  reset(): void {
    reset(this.#client)
    reset(this.#server)
  }

  /** Ends both connections after delivering `bytes` to the client. */
  #endAfter(bytes: Buffer): void {
    if (bytes.length === 0) {
      this.reset()
      return
    }
    reset(this.#server)
    // Not reset: the client could receive the RST before it has read the bytes.
    this.#client.end(bytes, () => this.#client.destroy())
  }
}

/**
 * Resets a connection. A socket is destroyed instead after `end()`: Node would not reset it any more, and it would stay
 * open and keep the process alive.
 */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}

function untilClosed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('close', () => resolve())
  })
}
