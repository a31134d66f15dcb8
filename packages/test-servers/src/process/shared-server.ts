import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A server, and how to stop it. */
interface Started {
  readonly url: string
  readonly stop: () => Promise<void>
}

/**
 * A server that all files of a test run share. It starts with the first request for it, in the process that calls `share`,
 * which outlives the workers of a test run.
 */
export class SharedServer {
  readonly #variable: string
  readonly #start: () => Promise<Started>

  /**
   * @param name of the environment variable that tells processes where to request the address of the server
   * @param start starts it
   */
  constructor(name: string, start: () => Promise<Started>) {
    this.#variable = name
    this.#start = start
  }

  /** Resolves to the shared server, whose `stop` does nothing. Where none is shared, starts one for the caller alone. */
  async use(): Promise<Started> {
    const address = process.env[this.#variable]
    if (address === undefined) return this.#start()
    const response = await fetch(address)
    const text = await response.text()
    if (!response.ok) throw new Error(text)
    return { url: text, stop: async () => {} }
  }

  /** Lets the processes that this one starts share the server. Resolves to a function that stops it. */
  async share(): Promise<() => Promise<void>> {
    // Vitest calls this for each of its projects.
    if (process.env[this.#variable] !== undefined) return async () => {}
    let server: Promise<Started> | undefined
    const broker = createServer(async (_, response) => {
      try {
        server ??= this.#start()
        response.end((await server).url)
      } catch (error) {
        response.writeHead(500).end(`${error}`)
      }
    })
    broker.listen(0, '127.0.0.1')
    await once(broker, 'listening')
    process.env[this.#variable] = `http://127.0.0.1:${(broker.address() as AddressInfo).port}`
    return async () => {
      delete process.env[this.#variable]
      broker.close()
      broker.closeAllConnections()
      const started = await server?.catch(() => undefined)
      await started?.stop()
    }
  }
}
