import { toText } from '@stowage/core/driver'
import { type Row, raise, there, withItems } from './mutation.ts'

export const readsAndWrites: Record<string, Row> = {
  'get answers null for a miss': ['read', withItems((item) => item ?? (null as never))],
  'get takes an empty item for a miss': [
    'read',
    withItems((item) => (item?.length ? item : undefined)),
  ],
  'getMany drops gaps': [
    'read',
    (s) => ({ getMany: (keys) => s.getMany(keys).filter((i) => i !== undefined) }),
  ],
  'getMany drops repeats': ['read', (s) => ({ getMany: (keys) => s.getMany([...new Set(keys)]) })],
  'getMany loses the order': ['read', (s) => ({ getMany: (keys) => s.getMany([...keys].sort()) })],
  'getMany sorts the list of the caller': [
    'read',
    (s) => ({
      getMany: (keys) => {
        const found = s.getMany(keys)
        ;(keys as string[]).sort().reverse()
        return found
      },
    }),
  ],
  'getMany of nothing fails': [
    'read',
    (s) => ({ getMany: (keys) => (keys.length ? s.getMany(keys) : raise()) }),
  ],
  'set appends': [
    'write',
    (s) => ({ set: (key, item, ttl) => s.set(key, toText(s.get(key) ?? '') + toText(item), ttl) }),
  ],
  'set adds only': ['write', (s) => ({ set: (key, item, ttl) => void s.add(key, item, ttl) })],
  'setMany: the first of a repeated key wins': [
    'write',
    (s) => ({ setMany: (entries, ttl) => s.setMany([...entries].reverse(), ttl) }),
  ],
  'setMany stores the first entry only': [
    'write',
    (s) => ({ setMany: (entries, ttl) => s.setMany(entries.slice(0, 1), ttl) }),
  ],
  'setMany of nothing fails': [
    'write',
    (s) => ({ setMany: (entries, ttl) => (entries.length ? s.setMany(entries, ttl) : raise()) }),
  ],
  'delete always says true': ['write', (s) => ({ delete: (key) => s.delete(key) || true })],
  'delete does not delete': ['write', (s) => ({ delete: (key) => s.get(key) !== undefined })],
  'delete does not count an empty item': [
    'write',
    (s) => ({
      delete: (key) => [s.get(key)?.length, s.delete(key)][0] !== 0 && !there(s, key) && false,
    }),
  ],
  'deleteMany counts the keys': [
    'write',
    (s) => ({ deleteMany: (keys) => [s.deleteMany(keys), new Set(keys).size][1] as number }),
  ],
  'deleteMany counts repeats': [
    'write',
    (s) => ({
      deleteMany: (keys) =>
        [keys.filter((k) => s.get(k) !== undefined).length, s.deleteMany(keys)][0] as number,
    }),
  ],
}
