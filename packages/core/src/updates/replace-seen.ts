import type { Awaitable, StoreContract } from '../store.ts'

/**
 * Stores an item in the place of the one that was read, or of none. Resolves to `false` if another one is there by now.
 *
 * @param seen the item that was read; `undefined` if there was none
 */
export function replaceSeen<P extends 'bytes' | 'entry', I>(
  store: Pick<StoreContract<P, I>, 'add' | 'compareAndSet'>,
  key: string,
  seen: I | undefined,
  next: I,
  ttl?: number,
): Awaitable<boolean> {
  return seen === undefined ? store.add(key, next, ttl) : store.compareAndSet(key, seen, next, ttl)
}
