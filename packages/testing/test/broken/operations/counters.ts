import { CacheError } from '@stowage/core'
import {
  type BrokenStores,
  isExpired,
  nextTurn,
  remainingTtl,
  textOf,
  withIncrement,
  withRejection,
} from '../mutation.ts'

export const counters: BrokenStores = {
  'increment is not atomic': [
    'counters',
    withIncrement(async (store, key, by, ttl) => {
      const before = Number(textOf(store, key, '0'))
      await nextTurn()
      return store.increment(key, before + by - Number(textOf(store, key, '0')), ttl)
    }),
  ],
  'increment clamps at zero': [
    'counters',
    withIncrement((store, key, by, ttl) => {
      const sum = store.increment(key, by, ttl)
      return sum < 0 ? store.increment(key, -sum) : sum
    }),
  ],
  'increment wraps around below zero': [
    'counters',
    withIncrement((store, key, by, ttl) => {
      const sum = store.increment(key, by, ttl)
      return sum < 0 ? sum + 2 ** 53 : sum
    }),
  ],
  'increment pads a number that loses a digit': [
    'counters',
    withIncrement((store, key, by, ttl) => {
      const { length } = textOf(store, key, '')
      const sum = store.increment(key, by, ttl)
      if (String(sum).length < length)
        store.set(key, String(sum).padEnd(length), remainingTtl(store, key))
      return sum
    }),
  ],
  'increment creates a counter at zero': [
    'counters',
    withIncrement((store, key, by, ttl) =>
      store.increment(key, store.items.has(key) ? by : 0, ttl),
    ),
  ],
  'increment parses a number at the start of a text': [
    'counters',
    withIncrement((store, key, by, ttl) => {
      const stored = Number.parseInt(textOf(store, key, 'x'), 10)
      if (!Number.isNaN(stored)) store.set(key, String(stored), remainingTtl(store, key))
      return store.increment(key, by, ttl)
    }),
  ],
  'increment treats text as zero': [
    'counters',
    withIncrement((store, key, by, ttl) => {
      if (Number.isNaN(Number(textOf(store, key, '0')))) store.set(key, '0')
      return store.increment(key, by, ttl)
    }),
  ],
  'increment returns a sum that is not a safe integer': [
    'counters',
    withIncrement((store, key, by, ttl) => {
      const sum = Number(textOf(store, key, '0')) + by
      if (Number.isNaN(sum) || Number.isSafeInteger(sum)) return store.increment(key, by, ttl)
      store.set(key, String(BigInt(sum)), ttl)
      return sum
    }),
  ],
  'increment deletes an item that it rejects': [
    'counters',
    withRejection((error, key, store) => {
      store.delete(key)
      throw error
    }),
  ],
  'increment rejects with a plain Error': [
    'counters',
    withRejection((error) => {
      throw new Error((error as Error).message)
    }),
  ],
  'increment rejects with another code': [
    'counters',
    withRejection(() => {
      const options = { store: 'reference', operation: 'increment' }
      throw new CacheError('ERR_CACHE_UNAVAILABLE', 'unavailable', options)
    }),
  ],
  'increment resets the ttl': [
    'counters',
    withIncrement((store, key, by, ttl) => {
      const sum = store.increment(key, by, ttl)
      if (ttl !== undefined) store.touch(key, ttl)
      return sum
    }),
  ],
  'increment removes the ttl': [
    'counters',
    withIncrement((store, key, by, ttl) => {
      const before = store.items.get(key)
      const sum = store.increment(key, by, ttl)
      if (before !== undefined && !isExpired(store, before)) store.touch(key)
      return sum
    }),
  ],
  'increment ignores the ttl on creation': [
    'counters',
    withIncrement((store, key, by) => store.increment(key, by)),
  ],
  'counters are not items': [
    'counters',
    withIncrement((store, key, by, ttl) => store.increment(`#${key}`, by, ttl)),
  ],
}
