import type { Connection } from '../connection/connection.ts'
import { readExists } from '../protocol/status-replies.ts'

const maxKeys = 10_000

/**
 * Keys that were changed while a node was unreachable. They are deleted from the node before it serves requests again.
 * If there are too many, the node is flushed instead.
 */
export class PendingDeletes {
  readonly #keys = new Set<string>()
  #flushAll = false
  #inFlight: Promise<void> | undefined

  add(key: string): void {
    if (this.#keys.size < maxKeys) this.#keys.add(key)
    else this.#flushAll = true
  }

  /** Sends the deletes, or joins those in flight: keys that are added one by one are deleted in few batches. */
  send(connection: Connection): Promise<void> {
    this.#inFlight ??= this.#send(connection).finally(() => {
      this.#inFlight = undefined
    })
    return this.#inFlight
  }

  async #send(connection: Connection): Promise<void> {
    while (this.#flushAll || this.#keys.size > 0) {
      const keys = [...this.#keys]
      const flushAll = this.#flushAll
      // Cleared first: a key that is added while the deletes are in flight stays pending.
      this.#keys.clear()
      this.#flushAll = false
      try {
        if (flushAll) await connection.flushAll('connect')
        else await deleteAll(connection, keys)
      } catch (error) {
        this.#flushAll ||= flushAll
        for (const key of keys) this.add(key)
        throw error
      }
    }
  }
}

async function deleteAll(connection: Connection, keys: readonly string[]): Promise<void> {
  const failures = await connection.deleteMany('connect', keys, readExists)
  for (const error of failures?.values() ?? []) throw error
}
