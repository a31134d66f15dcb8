import { Journal } from '@stowage/core/internal'
import type { Connection } from '../connection/connection.ts'
import { readExists } from '../protocol/status-replies.ts'

const maxKeys = 100_000

/**
 * The journal of a node: keys that were changed while it was unreachable. They are deleted from the node before it serves
 * requests again. If there are too many, the node is flushed instead.
 */
export class PendingDeletes {
  readonly #journal = new Journal(maxKeys)
  #inFlight: Promise<void> | undefined

  add(key: string): void {
    this.#journal.add(key)
  }

  /** Sends the deletes, or joins those in flight: keys that are added one by one are deleted in few batches. */
  send(connection: Connection): Promise<void> {
    this.#inFlight ??= this.#send(connection).finally(() => {
      this.#inFlight = undefined
    })
    return this.#inFlight
  }

  /** A key that is added while the deletes are in flight stays in the journal. */
  async #send(connection: Connection): Promise<void> {
    const journal = this.#journal
    while (journal.overflow > 0 || journal.size > 0) {
      const { overflow } = journal
      const entries = journal.entries()
      if (overflow > 0) await connection.flushAll('connect')
      else await deleteAll(connection, keysOf(entries))
      journal.confirm(entries)
      journal.confirmOverflow(overflow)
    }
  }
}

function keysOf(entries: readonly (readonly [key: string, change: number])[]): string[] {
  return entries.map(([key]) => key)
}

async function deleteAll(connection: Connection, keys: readonly string[]): Promise<void> {
  const failures = await connection.deleteMany('connect', keys, readExists)
  for (const error of failures?.values() ?? []) throw error
}
