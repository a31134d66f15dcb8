import { toText } from '@stowage/core/driver'
import { coarse, now, type Row, scanning, slot, there, ttlLeft, withTtls } from './mutation.ts'

export const expiry: Record<string, Row> = {
  'get answers the expired': ['expiry', (s) => ({ get: (key) => slot(s, key)?.bytes })],
  'getMany answers the expired': [
    'expiry',
    (s) => ({ getMany: (keys) => keys.map((key) => slot(s, key)?.bytes) }),
  ],
  'add respects the expired': [
    'expiry',
    (s) => ({ add: (key, item, ttl) => !there(s, key) && s.add(key, item, ttl) }),
  ],
  'compareAndSet swaps the expired': [
    'expiry',
    (s) => ({
      compareAndSet: (key, expected, next, ttl) => {
        const old = slot(s, key)
        if (old !== undefined && old.expiresAt <= now()) s.set(key, old.bytes)
        return s.compareAndSet(key, expected, next, ttl)
      },
    }),
  ],
  'increment continues the expired': [
    'expiry',
    (s) => ({
      increment: (key, by, ttl) => {
        const old = slot(s, key)
        if (old !== undefined && old.expiresAt <= now()) s.set(key, old.bytes, ttl)
        return s.increment(key, by, ttl)
      },
    }),
  ],
  'touch brings back the expired': [
    'expiry',
    (s) => ({
      touch: (key, ttl) => {
        const old = slot(s, key)
        if (old !== undefined) s.set(key, old.bytes, ttl)
        return old !== undefined
      },
    }),
  ],
  'delete counts the expired': ['expiry', (s) => ({ delete: (key) => s.slots.delete(key) })],
  'deleteMany counts the expired': [
    'expiry',
    (s) => ({ deleteMany: (keys) => keys.filter((key) => s.slots.delete(key)).length }),
  ],
  'scan lists the expired': [
    'expiry',
    scanning(async function* ({ slots }, prefix) {
      yield [...slots.keys()].filter((key) => key.startsWith(prefix))
    }),
  ],
  'touch creates': [
    'expiry',
    (s) => ({ touch: (key, ttl) => s.touch(key, ttl) || [s.set(key, '', ttl)].length > 1 }),
  ],
  'touch does not move the expiry': [
    'expiry',
    (s) => ({ touch: (key) => s.get(key) !== undefined }),
  ],
  'touch only prolongs': [
    'expiry',
    (s) => ({
      touch: (key, ttl) =>
        (ttlLeft(s, key) ?? Infinity) > (ttl ?? Infinity) ? there(s, key) : s.touch(key, ttl),
    }),
  ],
  'touch without a ttl keeps the expiry': [
    'expiry',
    (s) => ({ touch: (key, ttl) => s.touch(key, ttl ?? ttlLeft(s, key)) }),
  ],
  'touch rewrites the item as text': [
    'expiry',
    (s) => ({
      touch: (key, ttl) => {
        const item = s.get(key)
        if (item !== undefined) s.set(key, Buffer.from(toText(item), 'latin1'), ttl)
        return item !== undefined
      },
    }),
  ],
  'set keeps an earlier ttl': [
    'expiry',
    (s) => ({ set: (key, item, ttl) => s.set(key, item, ttl ?? ttlLeft(s, key)) }),
  ],
  'setMany keeps an earlier ttl': [
    'expiry',
    (s) => ({
      setMany: (entries, ttl) => {
        for (const [key, item] of entries) s.set(key, item, ttl ?? ttlLeft(s, key))
      },
    }),
  ],
  'setMany forgets the ttl': ['expiry', (s) => ({ setMany: (entries) => s.setMany(entries) })],
  'add forgets the ttl': ['expiry', (s) => ({ add: (key, item) => s.add(key, item) })],
  'compareAndSet forgets the ttl': [
    'expiry',
    (s) => ({ compareAndSet: (key, a, b) => s.compareAndSet(key, a, b) }),
  ],
  'compareAndSet keeps an earlier ttl': [
    'expiry',
    (s) => ({
      compareAndSet: (key, a, b, ttl) => s.compareAndSet(key, a, b, ttl ?? ttlLeft(s, key)),
    }),
  ],
  'ttls are rounded down': [
    'expiry',
    withTtls((ttl) => ttl && Math.max(1_000, Math.floor(ttl / 1_000) * 1_000)),
    coarse,
  ],
  'ttls are a millisecond short': ['expiry', withTtls((ttl) => ttl && ttl - 1)],
  'ttls are a millisecond long': ['expiry', withTtls((ttl) => ttl && ttl + 1)],
  'ttls beyond 30 days are dates long past': [
    'expiry',
    withTtls((ttl) => (ttl !== undefined && ttl > 2_592_000_000 ? 0 : ttl)),
  ],
  'ttls beyond 30 days are for ever': [
    'expiry',
    withTtls((ttl) => (ttl !== undefined && ttl > 2_592_000_000 ? undefined : ttl)),
  ],
  'no ttl is a day': ['expiry', withTtls((ttl) => ttl ?? 86_400_000)],
}
