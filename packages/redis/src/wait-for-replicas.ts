import { InFlight, withDeadline } from '@stowage/core/driver'
import type { Connection } from './connection/connection.ts'

/**
 * A connection for writes that count only once replicas have them too. WAIT holds up whatever comes behind it on its
 * connection, so reads have another one, and the writes answered in one tick share one WAIT.
 */
export class Durability {
  readonly connection: Connection
  readonly #replicas: number
  readonly #patienceMs: number
  readonly #underWay = new InFlight()
  #waiting: Promise<void> | undefined

  constructor(connection: Connection, replicas: number, patienceMs: number) {
    this.connection = connection
    this.#replicas = replicas
    this.#patienceMs = patienceMs
  }

  /** The answer of a write on this connection, once the replicas have the write, if that is in the `leftMs` it leaves. */
  async follow<T>(write: () => Promise<T>, leftMs: () => number): Promise<T> {
    this.#underWay.begin()
    try {
      const answer = await write()
      this.#waiting ??= this.#wait()
      const waiting = this.#waiting
      await withDeadline(leftMs(), () => waiting)
      return answer
    } finally {
      this.#underWay.end()
    }
  }

  async close(): Promise<void> {
    await this.#underWay.idle()
    await this.connection.close()
  }

  async #wait(): Promise<void> {
    await new Promise<void>((resolve) => process.nextTick(resolve))
    this.#waiting = undefined
    this.connection.begin()
    try {
      const count = await this.connection.client.wait(this.#replicas, this.#patienceMs)
      if (count < this.#replicas) throw new Error(this.#missed(count))
    } catch (error) {
      throw this.connection.failed(error)
    } finally {
      this.connection.end()
    }
  }

  #missed(count: number): string {
    return `written, but ${count} of the ${this.#replicas} replicas asked for have it after ${this.#patienceMs} ms, so a failover could lose it.`
  }
}
