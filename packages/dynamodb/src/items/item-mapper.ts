import type { Payload } from '@stowage/core'
import type { ItemWithTtl } from '@stowage/core/driver'
import { type Item, toAttribute, toPayload } from '../attributes.ts'
import type { ResolvedOptions } from '../dynamodb-options.ts'
import type { TtlAttribute } from './ttl-attribute.ts'

/** Maps a key, a payload and a ttl to an item of the table, and back. */
export class ItemMapper {
  readonly names: ResolvedOptions['names']
  readonly #ttl: TtlAttribute

  constructor(names: ResolvedOptions['names'], ttl: TtlAttribute) {
    this.names = names
    this.#ttl = ttl
  }

  toItem(key: string, payload: Payload, ttl: number | undefined): Item {
    return {
      ...this.toKey(key),
      [this.names.value]: toAttribute(payload),
      ...this.#ttl.attributesFor(ttl),
    }
  }

  /** The key attribute alone, which identifies an item in requests. */
  toKey(key: string): Item {
    return { [this.names.key]: { S: key } }
  }

  readonly keyOf = (item: Item): string => item[this.names.key]?.S ?? ''

  /** The payload of an item, unless it is missing or expired. */
  payloadOf(item: Item | undefined): Payload | undefined {
    if (item === undefined || this.#ttl.isExpired(item)) return undefined
    return this.storedPayloadOf(item)
  }

  /** The payload of an item with its remaining ttl, unless it is missing or expired. */
  withTtl(item: Item | undefined): ItemWithTtl<Payload> | undefined {
    const payload = this.payloadOf(item)
    if (item === undefined || payload === undefined) return undefined
    return { item: payload, ttl: this.#ttl.ttlOf(item) ?? Infinity }
  }

  /** The payload of an item, even if it is expired. */
  storedPayloadOf(item: Item): Payload | undefined {
    return toPayload(item[this.names.value])
  }
}
