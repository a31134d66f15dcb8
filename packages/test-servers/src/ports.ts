import { type AddressInfo, createServer } from 'node:net'

const startAttempts = 5

/** Resolves to a port of the loopback interface on which nothing listens. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}

/** Whether `port` of the loopback interface can be listened on. */
export function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.on('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

/**
 * Starts a server on the port that `pickPort` returns. Tries again when that fails: another process may have taken the
 * port between the check and the server's bind.
 */
export async function startOnPort<T>(
  pickPort: () => number | Promise<number>,
  start: (port: number) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const port = await pickPort()
    try {
      return await start(port)
    } catch (error) {
      if (attempt === startAttempts) throw error
    }
  }
}
