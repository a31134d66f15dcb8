import { CacheError } from '@stowage/core'
import { type Row, small } from './mutation.ts'

export const limits: Record<string, Row> = {
  'too large: the old value stays': [
    'limits',
    (s) => ({
      set: (key, item, ttl) =>
        item.length > 1_000 ? s.set('elsewhere', item) : s.set(key, item, ttl),
    }),
    small,
  ],
  'too large: silently dropped': [
    'limits',
    (s) => ({
      set: (key, item, ttl) => (item.length > 1_000 ? void s.delete(key) : s.set(key, item, ttl)),
    }),
    small,
  ],
  'too large: cut': [
    'limits',
    (s) => ({
      add: (key, item, ttl) => s.add(key, item.slice(0, 1_000), ttl),
    }),
    small,
  ],
  'too large: stored all the same': [
    'limits',
    (s) => ({
      compareAndSet: (key, expected, next, ttl) => {
        if (next === undefined || next.length <= 1_000)
          return s.compareAndSet(key, expected, next, ttl)
        s.slots.set(key, { bytes: Buffer.from(next), expiresAt: Infinity })
        throw new CacheError('ERR_CACHE_LIMIT', 'too late')
      },
    }),
    small,
  ],
  'the limit is one byte less than it says': [
    'limits',
    (s) => ({
      set: (key, item, ttl) => s.set(key, item.length === 1_000 ? `${item}x` : item, ttl),
    }),
    small,
  ],
  'the limit counts characters': [
    'limits',
    (s) => ({
      set: (key, item, ttl) =>
        typeof item === 'string' && item.length <= 1_000
          ? void s.slots.set(key, { bytes: Buffer.from(item), expiresAt: Infinity })
          : s.set(key, item, ttl),
    }),
    small,
  ],
  'the limits make no sense': [
    'limits',
    () => ({ limits: { keyBytes: 20, valueBytes: 0, ttlStep: 0.5 } }),
  ],
}
