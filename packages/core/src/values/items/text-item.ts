import type { Payload } from '../../store.ts'
import type { AnyStore } from '../entry-codec.ts'
import { isMark } from '../mark.ts'
import { toText } from '../payload.ts'

type ItemStore = Pick<AnyStore, 'payload'>

/** Returns the item that represents a text of the cache itself, such as the id of a generation. */
export function toTextItem(store: ItemStore, text: string): unknown {
  return store.payload === 'entry' ? { value: text } : text
}

/** Returns the text of an item, or `undefined` if it is none. */
export function textOf(store: ItemStore, item: unknown): string | undefined {
  if (item === undefined || isMark(item)) return undefined
  const text =
    store.payload === 'entry' ? (item as { value: unknown }).value : toText(item as Payload)
  return typeof text === 'string' ? text : undefined
}
