import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const host = '127.0.0.1'

/** A long cable: passes connections on to a port, and what comes back from there `delayMs` later. */
export class SlowWire {
  delayMs = 0
  readonly #port: number
  readonly #server: Server = createServer((client) => this.#take(client))
  readonly #sockets = new Set<Socket>()

  constructor(port: number) {
    this.#port = port
  }

  /** Resolves with the port of this end. */
  listen(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(0, host, () => resolve((this.#server.address() as AddressInfo).port))
    })
  }

  stop(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #take(client: Socket): void {
    const server = connect(this.#port, host)
    client.pipe(server)
    // One after the other, so that bytes keep their order when the delay changes.
    let delivered = Promise.resolve()
    server.on('data', (chunk) => {
      const due = performance.now() + this.delayMs
      delivered = delivered.then(async () => {
        await sleep(Math.max(0, due - performance.now()), undefined, { ref: false })
        client.write(chunk)
      })
    })
    this.#endTogether(client, server)
  }

  #endTogether(...pair: readonly Socket[]): void {
    for (const socket of pair) {
      this.#sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        this.#sockets.delete(socket)
        for (const other of pair) other.destroy()
      })
    }
  }
}
