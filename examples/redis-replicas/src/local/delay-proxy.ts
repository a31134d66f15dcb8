import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const host = '127.0.0.1'

/** A TCP proxy that forwards data from the server to the client `delayMs` later. */
export class DelayProxy {
  delayMs = 0
  readonly #targetPort: number
  readonly #server: Server = createServer((client) => this.#forward(client))
  readonly #sockets = new Set<Socket>()

  constructor(targetPort: number) {
    this.#targetPort = targetPort
  }

  /** Resolves to the port of the proxy. */
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

  #forward(client: Socket): void {
    const server = connect(this.#targetPort, host)
    client.pipe(server)
    // Chunks wait for each other, so that they keep their order when the delay changes.
    let forwarded = Promise.resolve()
    server.on('data', (chunk) => {
      const due = performance.now() + this.delayMs
      forwarded = forwarded.then(async () => {
        await sleep(Math.max(0, due - performance.now()), undefined, { ref: false })
        client.write(chunk)
      })
    })
    this.#destroyTogether(client, server)
  }

  #destroyTogether(...pair: readonly Socket[]): void {
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
