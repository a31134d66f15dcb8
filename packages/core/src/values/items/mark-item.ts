import type { AnyStore } from '../entry-codec.ts'
import type { Mark } from '../mark.ts'

/** Returns the item of a mark. */
export function toMarkItem(store: Pick<AnyStore, 'payload'>, mark: Mark): unknown {
  return store.payload === 'entry' ? mark : mark.toString()
}
