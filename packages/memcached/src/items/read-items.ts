import { types } from 'node:util'
import type { Payload } from '@stowage/core'
import type { Connection } from '../connection/connection.ts'
import type { Dispatcher } from '../nodes/dispatcher.ts'
import { type CasOutcome, readCasOutcome } from '../protocol/status-replies.ts'
import { readWithCas } from '../values/item-replies.ts'
import type { Items } from './items.ts'

/** Where an item was read, and its id for compare-and-set. */
interface Origin {
  readonly key: string
  /** Ids are those of one server since its start, so they are used on the same connection only. */
  readonly connection: Connection
  readonly cas: bigint
}

/**
 * The ids of items that were read to be replaced. With its id an item is replaced by one request; without it,
 * the item has to be read and compared first.
 */
export class ReadItems {
  readonly #dispatcher: Dispatcher
  readonly #items: Items
  /** By the payload that was returned. */
  readonly #origins = new WeakMap<object, Origin>()

  constructor(dispatcher: Dispatcher, items: Items) {
    this.#dispatcher = dispatcher
    this.#items = items
  }

  get(key: string): Promise<Payload | undefined> {
    // A value in chunks has to be read anyway before it is replaced.
    if (this.#items.usesChunks) return this.#items.get(key)
    return this.#dispatcher.send('get', key, (connection) =>
      connection.get('get', key, (reply) => {
        const item = readWithCas(reply)
        const payload = item?.value
        if (item === undefined || !types.isUint8Array(payload)) return undefined
        this.#origins.set(payload, { key, connection, cas: item.cas })
        return payload
      }),
    )
  }

  /**
   * Replaces an item that `get` returned, or deletes it. `'changed'`: the item has another id now, or its id is not known.
   * Its bytes may still be the same.
   */
  async replace(
    key: string,
    expected: Payload,
    next: Payload | undefined,
    ttl: number | undefined,
  ): Promise<CasOutcome> {
    if (typeof expected === 'string') return 'changed'
    const origin = this.#origins.get(expected)
    if (origin === undefined || origin.key !== key) return 'changed'
    // Each id is valid for one attempt.
    this.#origins.delete(expected)
    const { cas } = origin
    const operation = 'compareAndSet'
    return this.#dispatcher.send(operation, key, async (connection) => {
      if (connection !== origin.connection) return 'changed'
      if (next === undefined) return connection.delete(operation, key, cas, readCasOutcome)
      return this.#items.store(operation, key, next, {
        mode: 'set',
        ttl,
        cas,
        read: readCasOutcome,
      })
    })
  }
}
