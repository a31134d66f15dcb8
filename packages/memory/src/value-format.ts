import type { Payload } from '@stowage/core'
import type { Entry } from '@stowage/core/driver'
import { exceeds, parseSafeInteger, payloadBytes, samePayload, toText } from '@stowage/core/driver'

/** How the store handles its items: as bytes, or as entries by reference. */
export interface ValueFormat<Item> {
  /** The item to store, which the caller cannot modify; the item itself where values are shared. */
  toStored(item: Item): Item
  /** Size in bytes; 0 where sizes are not limited. */
  size(item: Item): number
  /** Whether the size is above the limit; does not compute the size where it need not. */
  exceeds(item: Item, limit: number): boolean
  equal(a: Item, b: Item): boolean
  /** The value of a counter, or `undefined` if the item is not a safe integer. */
  toInteger(item: Item): number | undefined
  fromInteger(value: number): Item
}

export const bytesFormat: ValueFormat<Payload> = {
  toStored: (item) => (typeof item === 'string' ? item : Uint8Array.from(item)),
  size: payloadBytes,
  exceeds,
  equal: samePayload,
  toInteger: (item) => parseSafeInteger(toText(item)),
  fromInteger: String,
}

export const sharedFormat: ValueFormat<Entry> = {
  toStored: (item) => item,
  size: () => 0,
  exceeds: () => false,
  equal: (a, b) => a === b,
  toInteger: ({ value }) => (Number.isSafeInteger(value) ? (value as number) : undefined),
  fromInteger: (value) => ({ value }),
}
