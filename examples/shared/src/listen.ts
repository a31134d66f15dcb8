import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Address {
  readonly host: string
  readonly port: number
}

const localHosts: ReadonlySet<string> = new Set(['127.0.0.1', '::1', '0.0.0.0', '::', 'localhost'])

/** @throws Error with the variable to change, if the server cannot listen on this address */
export function listen(handle: RequestListener, { host, port }: Address): Promise<Server> {
  const server = createServer(handle)
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, { host, port })))
    server.listen(port, host, () => resolve(server))
  })
}

export function urlOf(server: Server, host: string): string {
  const { port } = server.address() as AddressInfo
  const name = localHosts.has(host) ? 'localhost' : host
  return `http://${name.includes(':') ? `[${name}]` : name}:${port}`
}

/** Accepts no new connections and waits for running requests, at most `timeoutMs`. */
export function closeServer(server: Server, timeoutMs: number): Promise<void> {
  // A keep-alive connection with a running request becomes idle only after close() was called.
  const idle = setInterval(() => server.closeIdleConnections(), 50)
  const timeout = setTimeout(() => server.closeAllConnections(), timeoutMs)
  return new Promise((resolve) => {
    server.close(() => {
      clearInterval(idle)
      clearTimeout(timeout)
      resolve()
    })
  })
}

function listenError(error: NodeJS.ErrnoException, { host, port }: Address): Error {
  const remedies: Readonly<Record<string, string>> = {
    EADDRINUSE: `PORT=${port}: is already in use. Use another port, or 0 for any free port.`,
    EACCES: `PORT=${port}: requires more privileges. Use a port above 1023.`,
    EADDRNOTAVAIL: `HOST=${host}: is not an address of this machine. Use 127.0.0.1, or 0.0.0.0 for all.`,
    ENOTFOUND: `HOST=${host}: is not a known host. Use 127.0.0.1, or 0.0.0.0 for all.`,
  }
  const remedy = remedies[error.code ?? ''] ?? error.message
  return new Error(`The server cannot listen:\n  ${remedy}`, { cause: error })
}
