import type { Socket } from 'node:net'
import type { ProxyState } from './proxy-state.ts'
import { Relay } from './relay.ts'

/** The connection of a client, and the connection to the server that was opened for it. */
export class ProxiedConnection {
  /** Resolves when both sockets are closed. */
  readonly closed: Promise<unknown>
  readonly #client: Socket
  readonly #server: Socket
  readonly #relays: readonly Relay[]

  constructor(client: Socket, server: Socket, state: ProxyState) {
    this.#client = client
    this.#server = server
    const onTruncated = (admitted: Buffer) => this.#endAfter(admitted)
    this.#relays = [
      new Relay({ source: client, sink: server, direction: 'requests', state, onTruncated }),
      new Relay({ source: server, sink: client, direction: 'replies', state, onTruncated }),
    ]
    for (const socket of [client, server]) socket.on('error', () => this.reset())
    this.closed = Promise.all([client, server].map(closed))
  }

  /** Delivers what no delay or mute holds back any more. */
  flush(): void {
    for (const relay of this.#relays) relay.flush()
  }

  reset(): void {
    reset(this.#client)
    reset(this.#server)
  }

  /** Ends the connection after `bytes` have been delivered to the client. */
  #endAfter(bytes: Buffer): void {
    if (bytes.length === 0) {
      this.reset()
      return
    }
    reset(this.#server)
    // A reset could overtake the bytes.
    this.#client.end(bytes, () => this.#client.destroy())
  }
}

/** Resets a connection. After `end`, Node can no longer reset a socket: it would stay open and keep the process alive. */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}

function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('close', () => resolve())
  })
}
