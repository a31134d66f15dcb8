import { toText } from '@stowage/core/driver'

/** A value of a view of text. A cache with a codec of its own may return the bytes of the text. */
export function textOf(value: unknown): string | undefined {
  return value instanceof Uint8Array ? toText(value) : (value as string | undefined)
}
