import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

const startAttempts = 5

/** Below the ports that an operating system assigns itself: from 32768 on Linux, from 49152 elsewhere. */
const firstPort = 12_000
const portsPerWorker = 1_000
const maxWorkers = 8
let lastOffset = randomInt(portsPerWorker)

/**
 * Resolves to a port of the loopback interface on which nothing listens. No other worker of a test run gets it before the
 * caller uses it: each worker of Vitest has ports of its own, and takes one after another.
 */
export async function freePort(): Promise<number> {
  const worker = Number(process.env.VITEST_POOL_ID ?? 0) % maxWorkers
  const firstWorkerPort = firstPort + worker * portsPerWorker
  for (let attempt = 0; attempt < portsPerWorker; attempt++) {
    lastOffset = (lastOffset + 1) % portsPerWorker
    const port = firstWorkerPort + lastOffset
    if (await isPortFree(port)) return port
  }
  throw new Error(
    `All ports from ${firstWorkerPort} to ${firstWorkerPort + portsPerWorker - 1} are in use.`,
  )
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
 * Starts a server on a port, or one that a function picks. Tries again when that fails: another process may have taken the
 * port between the check and the server's bind.
 */
export async function startOnPort<T>(
  given: number | (() => Promise<number>),
  start: (port: number) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const port = typeof given === 'number' ? given : await given()
    try {
      return await start(port)
    } catch (error) {
      if (attempt === startAttempts) throw error
    }
  }
}
