import { conflict, notACounter } from '@stowage/core/driver'
import type { Dispatcher } from '../nodes/dispatcher.ts'
import { readAdded, readCasOutcome, readSum } from '../protocol/status-replies.ts'
import { ChunkList } from './chunks.ts'
import { readWithCas } from './item-replies.ts'
import type { Items } from './items.ts'
import { counterPrefix, toSigned, toUnsigned } from './value-format.ts'

const operation = 'increment'

/** Signed counters on top of the server's counters, which are unsigned. */
export class Counters {
  readonly #dispatcher: Dispatcher
  readonly #items: Items

  constructor(dispatcher: Dispatcher, items: Items) {
    this.#dispatcher = dispatcher
    this.#items = items
  }

  /** One attempt to increment a counter: on the server if the counter exists, with `add` otherwise. */
  async tryIncrement(
    key: string,
    by: number,
    ttl: number | undefined,
  ): Promise<number | typeof conflict> {
    const sum = await this.#add(key, toUnsigned(by))
    if (sum === 'missing') {
      const write = { mode: 'add', ttl, read: readAdded } as const
      const isAdded = await this.#items.store(operation, key, `${by}`, write)
      // Adding 0 turns −0 into 0.
      return isAdded ? by + 0 : conflict
    }
    if (sum === 'not-numeric') {
      await this.#convertToCounter(key)
      return conflict
    }
    const total = Number(toSigned(sum))
    if (Number.isSafeInteger(total)) return total
    await this.#add(key, toUnsigned(-by))
    throw notACounter('memcached', key, 'the sum is not a safe integer')
  }

  #add(key: string, delta: bigint): Promise<ReturnType<typeof readSum>> {
    return this.#dispatcher.send(operation, key, (connection) =>
      connection.arithmetic(operation, key, delta, readSum),
    )
  }

  /**
   * Converts a stored negative number, which the server cannot increment, to a counter. `prepend` is the only write that
   * keeps the expiry.
   */
  async #convertToCounter(key: string): Promise<void> {
    const item = await this.#dispatcher.send(operation, key, (connection) =>
      connection.get(operation, key, readWithCas),
    )
    if (item === undefined) return
    const prefix = item.value instanceof ChunkList ? undefined : counterPrefix(item.value)
    if (prefix === undefined) {
      throw notACounter('memcached', key, 'the stored value is not an integer')
    }
    const write = { mode: 'prepend', cas: item.cas, read: readCasOutcome } as const
    await this.#items.store(operation, key, prefix, write)
  }
}
