import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Address {
  readonly host: string
  readonly port: number
}

const local: ReadonlySet<string> = new Set(['127.0.0.1', '::1', '0.0.0.0', '::', 'localhost'])

/** @throws Error that says which variable to change */
export function listen(handle: RequestListener, { host, port }: Address): Promise<Server> {
  const server = createServer(handle)
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(explained(error, { host, port })))
    server.listen(port, host, () => resolve(server))
  })
}

export function urlOf(server: Server, host: string): string {
  const { port } = server.address() as AddressInfo
  const name = local.has(host) ? 'localhost' : host
  return `http://${name.includes(':') ? `[${name}]` : name}:${port}`
}

function explained(error: NodeJS.ErrnoException, { host, port }: Address): Error {
  const remedies: Readonly<Record<string, string>> = {
    EADDRINUSE: `PORT=${port}: is in use. Choose another, or 0 for any that is free.`,
    EACCES: `PORT=${port}: may not be opened by this user. Choose one above 1023.`,
    EADDRNOTAVAIL: `HOST=${host}: is no address of this machine. Use 127.0.0.1, or 0.0.0.0 for all.`,
    ENOTFOUND: `HOST=${host}: is no known host. Use 127.0.0.1, or 0.0.0.0 for all.`,
  }
  const remedy = remedies[error.code ?? ''] ?? error.message
  return new Error(`The app cannot listen:\n  ${remedy}`, { cause: error })
}

/** Takes no more connections, lets the running requests finish, and resolves when the last one is gone. */
export function closed(server: Server, within: number): Promise<void> {
  // A connection kept alive for a request that was running becomes idle only after it.
  const idle = setInterval(() => server.closeIdleConnections(), 50)
  const impatient = setTimeout(() => server.closeAllConnections(), within)
  return new Promise((resolve) => {
    server.close(() => {
      clearInterval(idle)
      clearTimeout(impatient)
      resolve()
    })
  })
}
