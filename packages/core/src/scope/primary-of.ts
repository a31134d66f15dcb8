import type { AnyStore } from '../values/entry-codec.ts'

/**
 * The store that holds the locks: of a store that fails over to others, the primary one. A lock in a fallback would not keep
 * out those that still reach the primary.
 */
export function primaryOf(store: AnyStore & { readonly primary?: AnyStore }): AnyStore {
  return store.primary === undefined ? store : primaryOf(store.primary)
}
