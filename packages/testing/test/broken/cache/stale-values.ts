import type { Payload } from '@stowage/core'
import { toBytes } from '@stowage/core/driver'
import {
  type BaseStore,
  type BrokenStores,
  type Mutation,
  withHits,
  withTtls,
} from '../mutation.ts'
import { isMark } from './leases.ts'

/** Whether the payload is a frame: a value with a stale window, tags or validators. */
function isFrame(payload: Payload | undefined): boolean {
  const [first, second] = toBytes(payload ?? '')
  return first === 0x01 && second !== 0x02
}

/** Whether the key is that of a lease to refresh a stale value. */
const isRefresh = (key: string) => key.includes('~refresh:')

/** A `time()` that differs by `step` milliseconds from that of the store that was created before. */
export function driftingTime(step: number): Mutation {
  let stores = 0
  return (store: BaseStore) => {
    const offset = stores++ * step
    return { time: () => store.clock.now() + offset }
  }
}

export const staleValues: BrokenStores = {
  'items that begin with a control character lose it': [
    'stale values',
    withHits((found) => (isFrame(found) ? toBytes(found).subarray(1) : found)),
  ],
  'items that are not text are decoded as Latin-1': [
    'stale values',
    withHits((found) => (isFrame(found) ? toBytes(found).toString('latin1') : found)),
  ],
  'the ttl of getWithTtl is too long': [
    'stale values',
    (store) => ({
      getWithTtl: (keys) =>
        store
          .getWithTtl(keys)
          .map((found) => found && { ...found, ttl: 2 * (found.ttl ?? Number.NaN) }),
    }),
  ],
  'add always takes the lease of a refresh': [
    'stale values',
    (store) => ({ add: (key, payload, ttl) => store.add(key, payload, ttl) || isRefresh(key) }),
  ],
  'compareAndSet never matches a stale value': [
    'stale values',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        !isFrame(expected) && store.compareAndSet(key, expected, next, ttl),
    }),
  ],
  'compareAndSet of a stale value ignores what has replaced it': [
    'stale values',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) => {
        const stored = isFrame(expected) ? store.get(key) : undefined
        return store.compareAndSet(key, stored ?? expected, next, ttl)
      },
    }),
  ],
  'compareAndSet restores a stale value that was deleted': [
    'stale values',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        store.compareAndSet(key, expected, next, ttl) ||
        (!isMark(expected) && next !== undefined && store.add(key, next, ttl)),
    }),
  ],
  'compareAndSet ignores the ttl of a failure': [
    'stale values',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        store.compareAndSet(key, expected, next, isRefresh(key) ? undefined : ttl),
    }),
  ],
  'compareAndSet stores a value with a stale window without a ttl': [
    'stale values',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        store.compareAndSet(key, expected, next, isFrame(next) ? undefined : ttl),
    }),
  ],
  'compareAndSet ignores the ttl when it replaces a value with a stale window': [
    'stale values',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        store.compareAndSet(key, expected, next, isFrame(expected) ? undefined : ttl),
    }),
  ],
  'compareAndSet to undefined keeps the item': [
    'stale values',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        store.compareAndSet(key, expected, next ?? expected, ttl),
    }),
  ],
  'ttls of more than an hour expire immediately': [
    'stale values',
    withTtls((ttl) => (ttl !== undefined && ttl > 3_600_000 ? 1 : ttl)),
  ],
  'compareAndSet never matches an item without a ttl': [
    'stale values',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        store.items.get(key)?.expiresAt !== Infinity &&
        store.compareAndSet(key, expected, next, ttl),
    }),
  ],
  'the clock of each store is ahead of the previous one': ['stale values', driftingTime(600_000)],
  'time() is in seconds': [
    'stale values',
    (store) => ({ time: () => Math.floor(store.clock.now() / 1_000) }),
  ],
}
