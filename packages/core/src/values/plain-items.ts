// Integers and texts of the cache itself, such as counters and ids of generations, which no codec encodes.
import type { AnyStore, Payload } from '../store.ts'
import { isMark } from './mark.ts'
import { toText } from './payload.ts'

const pattern = /^(?:0|-?[1-9]\d{0,15})$/

/** The maximum length of a safe integer in decimal: a minus sign and 16 digits. */
export const longestIntegerText = 17

/**
 * Returns the safe integer in `text`, or `undefined`. Leading zeros, a plus sign, `-0` and exponents are invalid, as in
 * the values that Redis accepts for `INCRBY`.
 *
 * @example
 * console.log(parseSafeInteger('42'), parseSafeInteger('007')) // 42 undefined
 */
export function parseSafeInteger(text: string): number | undefined {
  if (!pattern.test(text)) return undefined
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : undefined
}

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
