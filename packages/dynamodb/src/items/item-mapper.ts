import type { Payload } from '@stowage/core'
import { type Item, toAttribute, toPayload } from '../attributes.ts'
import type { ResolvedOptions } from '../dynamodb-options.ts'
import type { Expiry } from './ttl-attribute.ts'

/** What an item of the table looks like: its key, its value, and when it ends. */
export class ItemShape {
  readonly names: ResolvedOptions['names']
  readonly #expiry: Expiry

  constructor(names: ResolvedOptions['names'], expiry: Expiry) {
    this.names = names
    this.#expiry = expiry
  }

  item(key: string, payload: Payload, ttl: number | undefined): Item {
    return {
      ...this.key(key),
      [this.names.value]: toAttribute(payload),
      ...this.#expiry.attributes(ttl),
    }
  }

  /** The payload of an item that is there and has not ended. */
  payloadOf(item: Item | undefined): Payload | undefined {
    if (item === undefined || this.#expiry.hasPassed(item)) return undefined
    return this.storedIn(item)
  }

  storedIn(item: Item): Payload | undefined {
    return toPayload(item[this.names.value])
  }

  /** The key alone, as requests name an item. */
  key(key: string): Item {
    return { [this.names.key]: { S: key } }
  }

  readonly keyOf = (item: Item): string => item[this.names.key]?.S ?? ''
}
