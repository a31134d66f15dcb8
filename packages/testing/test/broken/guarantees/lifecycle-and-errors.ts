import { CacheError } from '@stowage/core'
import { toText } from '@stowage/core/driver'
import { type BrokenStores, fail, nextTurn, withHits, withRejection } from './mutation.ts'

const place = { store: 'reference', operation: 'increment' }

export const lifecycleAndErrors: BrokenStores = {
  'ping always fails': ['lifecycle', () => ({ ping: () => fail('unreachable') })],
  'a second close fails': [
    'lifecycle',
    (store) => {
      let isClosed = false
      return {
        close: async () => {
          if (isClosed) throw new CacheError('ERR_CACHE_CLOSED', 'closed', { store: 'reference' })
          isClosed = true
          await store.close()
        },
      }
    },
  ],
  'close does nothing': ['lifecycle', () => ({ close: async () => {} })],
  'get succeeds after close': [
    'lifecycle',
    (store) => ({ get: (key) => store.items.get(key)?.bytes }),
  ],
  'ping succeeds after close': ['lifecycle', () => ({ ping: () => {} })],
  'an empty batch succeeds after close': [
    'lifecycle',
    (store) => ({ getMany: (keys) => (keys.length ? store.getMany(keys) : []) }),
  ],
  'close does not wait for calls in flight': [
    'lifecycle',
    (store) => ({
      set: async (key, payload, ttl) => {
        await nextTurn()
        store.set(key, payload, ttl)
      },
    }),
  ],
  'a call after close fails with a plain Error': [
    'lifecycle',
    (store) => ({
      touch: (key, ttl) => {
        try {
          return store.touch(key, ttl)
        } catch {
          return fail('closed')
        }
      },
    }),
  ],
  'the message of an error reveals the key': [
    'errors',
    withRejection((_error, key) => {
      throw new CacheError('ERR_CACHE_REJECTED', `${key} is not a counter`, { ...place, key })
    }),
  ],
  'the cause of an error reveals the key': [
    'errors',
    withRejection((_error, key) => {
      const cause = new Error(`INCRBY ${key} failed`)
      throw new CacheError('ERR_CACHE_REJECTED', 'not a counter', { ...place, cause })
    }),
  ],
  'an error does not name the store and the operation': [
    'errors',
    withRejection(() => {
      throw new CacheError('ERR_CACHE_REJECTED', 'not a counter')
    }),
  ],
  'compareAndSet always returns true': [
    'facade',
    (store) => ({
      compareAndSet: (key, expected, next) =>
        next === undefined ? true : store.compareAndSet(key, expected, next) || true,
    }),
  ],
  'set ignores the ttl': ['ttl', (store) => ({ set: (key, payload) => store.set(key, payload) })],
  'set ignores the ttl (remember)': [
    'remember',
    (store) => ({ set: (key, payload) => store.set(key, payload) }),
  ],
  'get and getMany fail for items that are not JSON': [
    'corrupt',
    withHits((found) => JSON.stringify(JSON.parse(toText(found)))),
  ],
}
