import type { AnyStore } from '../values/entry-codec.ts'
import { textOf, toTextItem } from '../values/plain-items.ts'
import { randomId } from '../values/random-id.ts'

const pattern = /^[\w-]{12}\.(\d+)\.(.*)$/s

/** The contents of a lock's item. */
export interface LockFacts {
  readonly ttl: number
  readonly owner: string
}

/**
 * Creates the item of a lock: `<random>.<ttl>.<owner>`. It differs each time, so that a call that the network has delayed
 * does not affect the lock when the same owner acquires it again.
 */
export function createLockItem(store: AnyStore, { ttl, owner }: LockFacts): unknown {
  return toTextItem(store, `${randomId(12)}.${ttl}.${owner}`)
}

/** Returns the contents of a lock's item; `undefined` for no item, and for a foreign value. */
export function parseLockItem(store: AnyStore, item: unknown): LockFacts | undefined {
  const match = pattern.exec(textOf(store, item) ?? '')
  if (match === null) return undefined
  const [, ttl, owner] = match
  return { ttl: Number(ttl), owner: owner as string }
}
