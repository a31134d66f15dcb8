import { CacheError } from '@stowage/core'
import { toText } from '@stowage/core/driver'
import { type Row, raise, slot, turn, withItems } from './mutation.ts'

export const lifecycleAndErrors: Record<string, Row> = {
  'ping always fails': ['lifecycle', () => ({ ping: () => raise() })],
  'close is not idempotent': [
    'lifecycle',
    (s) => {
      let closed = false
      return {
        close: async () => {
          if (closed) throw new CacheError('ERR_CACHE_CLOSED', 'closed', { store: 'reference' })
          closed = true
          await s.close()
        },
      }
    },
  ],
  'a closed store goes on': ['lifecycle', () => ({ close: async () => {} })],
  'a closed store answers get': ['lifecycle', (s) => ({ get: (key) => slot(s, key)?.bytes })],
  'a closed store answers ping': ['lifecycle', () => ({ ping: () => {} })],
  'a closed store answers an empty batch': [
    'lifecycle',
    (s) => ({ getMany: (keys) => (keys.length ? s.getMany(keys) : []) }),
  ],
  'close breaks off what is under way': [
    'lifecycle',
    (s) => ({
      set: async (key, item, ttl) => {
        await turn()
        s.set(key, item, ttl)
      },
    }),
  ],
  'a closed store fails with a plain Error': [
    'lifecycle',
    (s) => ({
      touch: (key, ttl) => {
        try {
          return s.touch(key, ttl)
        } catch {
          return raise()
        }
      },
    }),
  ],
  'the error message shows the key': [
    'errors',
    (s) => ({
      increment: (key, by, ttl) => {
        try {
          return s.increment(key, by, ttl)
        } catch {
          const place = { store: 'reference', operation: 'increment', key }
          throw new CacheError('ERR_CACHE_REJECTED', `${key} is no counter`, place)
        }
      },
    }),
  ],
  'the cause of an error shows the key': [
    'errors',
    (s) => ({
      increment: (key, by, ttl) => {
        try {
          return s.increment(key, by, ttl)
        } catch {
          const cause = new Error(`INCRBY ${key} failed`)
          const place = { store: 'reference', operation: 'increment', cause }
          throw new CacheError('ERR_CACHE_REJECTED', 'no counter', place)
        }
      },
    }),
  ],
  'the error does not say where': [
    'errors',
    (s) => ({
      increment: (key, by, ttl) => {
        try {
          return s.increment(key, by, ttl)
        } catch {
          throw new CacheError('ERR_CACHE_REJECTED', 'no counter')
        }
      },
    }),
  ],
  'compareAndSet always says true': [
    'facade',
    (s) => ({
      compareAndSet: (_key, _seen, next) =>
        next === undefined ? true : s.compareAndSet(_key, _seen, next) || true,
    }),
  ],
  'set forgets the ttl': ['ttl', (s) => ({ set: (key, item) => s.set(key, item) })],
  'set forgets the ttl (remember)': ['remember', (s) => ({ set: (key, item) => s.set(key, item) })],
  'what is no JSON breaks the store': [
    'corrupt',
    withItems((item) => item && JSON.stringify(JSON.parse(toText(item)))),
  ],
}
