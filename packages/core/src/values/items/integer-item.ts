import type { Payload } from '../../store.ts'
import type { AnyStore } from '../entry-codec.ts'
import { parseSafeInteger } from '../integer.ts'
import { isMark } from '../mark.ts'
import { toText } from '../payload.ts'

type ItemStore = Pick<AnyStore, 'payload'>

/** Returns the item of a counter, as `increment` stores it. */
export function toIntegerItem(store: ItemStore, value: number): unknown {
  return store.payload === 'entry' ? { value } : String(value)
}

/** Returns the integer of a counter's item, or `undefined` if it is none. */
export function integerOf(store: ItemStore, item: unknown): number | undefined {
  if (item === undefined || isMark(item)) return undefined
  if (store.payload === 'bytes') return parseSafeInteger(toText(item as Payload))
  const { value } = item as { readonly value: unknown }
  return Number.isSafeInteger(value) ? (value as number) : undefined
}
