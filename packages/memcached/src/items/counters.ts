import { conflict } from '@stowage/core'
import { notACounter } from '../memcached-errors.ts'
import type { Dispatch } from '../nodes/dispatcher.ts'
import { Manifest } from './chunks.ts'
import * as replies from './item-replies.ts'
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
      const write = { mode: 'add', ttl, read: replies.readAdded } as const
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
    throw notACounter(key)
  }

  #add(key: string, delta: bigint): Promise<ReturnType<typeof replies.readSum>> {
    return this.#dispatch.one(operation, key, (connection) =>
      connection.arithmetic(operation, key, delta, replies.readSum),
    )
  }

  /** Has the server count on from a negative number that was set. The expiry stays, which no other write would leave. */
  async #makeCounter(key: string): Promise<void> {
    const seen = await this.#dispatch.one(operation, key, (connection) =>
      connection.get(operation, key, replies.readSeen),
    )
    if (seen === undefined) return
    const prefix = seen.found instanceof Manifest ? undefined : counterPrefix(seen.found)
    if (prefix === undefined) throw notACounter(key)
    const write = { mode: 'prepend', cas: seen.cas, read: replies.readOutcome } as const
    await this.#items.store(operation, key, prefix, write)
  }
}
