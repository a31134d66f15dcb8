import { InFlight, withDeadline } from '@stowage/core/driver'
import type { Connection } from './connection/connection.ts'

/**
 * Makes writes wait until replicas have acknowledged them (`WAIT`). WAIT blocks all later commands on its connection,
 * so reads use another one. Writes that complete in one tick share one WAIT.
 */
export class ReplicaWait {
  readonly connection: Connection
  readonly #replicas: number
  readonly #timeoutMs: number
  readonly #inFlight = new InFlight()
  #wait: Promise<void> | undefined

  constructor(connection: Connection, replicas: number, timeoutMs: number) {
    this.connection = connection
    this.#replicas = replicas
    this.#timeoutMs = timeoutMs
  }

  /** Runs a write on this connection. Resolves to its reply once the replicas have acknowledged it. */
  async run<T>(write: () => Promise<T>, remainingMs: () => number): Promise<T> {
    this.#inFlight.begin()
    try {
      const reply = await write()
      this.#wait ??= this.#sendWait()
      const wait = this.#wait
      await withDeadline(remainingMs(), () => wait)
      return reply
    } finally {
      this.#inFlight.end()
    }
  }

  async close(): Promise<void> {
    await this.#inFlight.idle()
    await this.connection.close()
  }

  async #sendWait(): Promise<void> {
    await new Promise<void>((resolve) => process.nextTick(resolve))
    this.#wait = undefined
    this.connection.beginCommand()
    try {
      const count = await this.connection.client.wait(this.#replicas, this.#timeoutMs)
      if (count < this.#replicas) throw new Error(this.#tooFewReplicas(count))
    } catch (error) {
      throw this.connection.commandFailed(error)
    } finally {
      this.connection.endCommand()
    }
  }

  #tooFewReplicas(count: number): string {
    return `only ${count} of ${this.#replicas} replicas acknowledged the write within ${this.#timeoutMs} ms. The primary has executed it, but a failover could lose it.`
  }
}
