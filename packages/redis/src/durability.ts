import type { Connection } from './connection.ts'

/**
 * A connection for writes that count only once replicas have them too. WAIT holds up whatever comes behind it on its
 * connection, so reads have another one, and the writes answered in one tick share one WAIT.
 */
export class Durability {
  readonly connection: Connection
  readonly #replicas: number
  readonly #patienceMs: number
  #waiting: Promise<void> | undefined

  constructor(connection: Connection, replicas: number, patienceMs: number) {
    this.connection = connection
    this.#replicas = replicas
    this.#patienceMs = patienceMs
  }

  /** Resolves when the replicas have every write this connection has answered so far. */
  confirmed(): Promise<void> {
    this.#waiting ??= this.#wait()
    return this.#waiting
  }

  async #wait(): Promise<void> {
    await new Promise<void>((resolve) => process.nextTick(resolve))
    this.#waiting = undefined
    this.connection.begin()
    try {
      const count = await this.connection.client.wait(this.#replicas, this.#patienceMs)
      if (count < this.#replicas) throw new Error(this.#missed(count))
    } finally {
      this.connection.end()
    }
  }

  #missed(count: number): string {
    return `written, but ${count} of the ${this.#replicas} replicas asked for have it after ${this.#patienceMs} ms, so a failover could lose it.`
  }
}
