import { conflict, notACounter } from '@stowage/core/driver'
import type { Dispatch } from '../nodes/dispatcher.ts'
import { readAdded, readOutcome, readSum } from '../protocol/status-replies.ts'
import { Manifest } from './chunks.ts'
import { readSeen } from './item-replies.ts'
import type { Items } from './items.ts'
import { counterPrefix, signed, unsigned } from './value-format.ts'

const operation = 'increment'

/** Signed counters, on those of the server, which have no sign. */
export class Counters {
  readonly #dispatch: Dispatch
  readonly #items: Items

  constructor(dispatch: Dispatch, items: Items) {
    this.#dispatch = dispatch
    this.#items = items
  }

  /** One attempt to count: by the server, unless there is nothing to count with yet. */
  async count(key: string, by: number, ttl: number | undefined): Promise<number | typeof conflict> {
    const sum = await this.#add(key, unsigned(by))
    if (sum === 'missing') {
      const write = { mode: 'add', ttl, read: readAdded } as const
      const isFirst = await this.#items.store(operation, key, `${by}`, write)
      // There is no negative zero.
      return isFirst ? by + 0 : conflict
    }
    if (sum === 'refused') {
      await this.#makeCounter(key)
      return conflict
    }
    const total = Number(signed(sum))
    if (Number.isSafeInteger(total)) return total
    await this.#add(key, unsigned(-by))
    throw notACounter('memcached', key, 'the sum is not a safe integer')
  }

  #add(key: string, delta: bigint): Promise<ReturnType<typeof readSum>> {
    return this.#dispatch.one(operation, key, (connection) =>
      connection.arithmetic(operation, key, delta, readSum),
    )
  }

  /** Has the server count on from a negative number that was set. The expiry stays, which no other write would leave. */
  async #makeCounter(key: string): Promise<void> {
    const seen = await this.#dispatch.one(operation, key, (connection) =>
      connection.get(operation, key, readSeen),
    )
    if (seen === undefined) return
    const prefix = seen.found instanceof Manifest ? undefined : counterPrefix(seen.found)
    if (prefix === undefined)
      throw notACounter('memcached', key, 'the stored value is not an integer')
    const write = { mode: 'prepend', cas: seen.cas, read: readOutcome } as const
    await this.#items.store(operation, key, prefix, write)
  }
}
