import type { Entry, Payload } from '@stowage/core'
import { exceeds, parseSafeInteger, payloadBytes, samePayload, toText } from '@stowage/core/driver'

/** What the store must know about its items, in either mode. */
export interface Representation<Item> {
  /** The item as it may be kept: nothing the caller can still change. */
  keep(item: Item): Item
  /** Bytes the item takes; 0 where nothing is measured. */
  size(item: Item): number
  /** Whether the size is above the limit, without a count where that is plain. */
  exceeds(item: Item, limit: number): boolean
  equal(a: Item, b: Item): boolean
  /** The integer a counter holds, or `undefined` when the item is no counter. */
  toInteger(item: Item): number | undefined
  fromInteger(value: number): Item
}

export const bytes: Representation<Payload> = {
  keep: (item) => (typeof item === 'string' ? item : Uint8Array.from(item)),
  size: payloadBytes,
  exceeds,
  equal: samePayload,
  toInteger: (item) => parseSafeInteger(toText(item)),
  fromInteger: String,
}

export const shared: Representation<Entry> = {
  keep: (item) => item,
  size: () => 0,
  exceeds: () => false,
  equal: (a, b) => a === b,
  toInteger: ({ value }) => (Number.isSafeInteger(value) ? (value as number) : undefined),
  fromInteger: (value) => ({ value }),
}
