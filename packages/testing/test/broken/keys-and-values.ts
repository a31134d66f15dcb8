import { toText } from '@stowage/core/driver'
import { type Row, withItems, withKeys } from './mutation.ts'

export const keysAndValues: Record<string, Row> = {
  'keys are trimmed': ['keys', withKeys((key) => key.trim())],
  'keys are lower-cased': ['keys', withKeys((key) => key.toLowerCase())],
  'keys are cut at 250 bytes': [
    'keys',
    withKeys((key) => Buffer.from(key).subarray(0, 250).toString('latin1')),
  ],
  'keys end at a NUL': ['keys', withKeys((key) => key.split('\0')[0] ?? '')],
  'keys are normalized': ['keys', withKeys((key) => key.normalize())],
  'keys are ASCII': ['keys', withKeys((key) => Buffer.from(key, 'ascii').toString('ascii'))],
  'keys are paths': ['keys', withKeys((key) => key.replace(/[/\\:]+/g, ':'))],
  'keys are URL-decoded': ['keys', withKeys((key) => key.replace('%20', ' ').replace('+', ' '))],
  'inherited names are found': [
    'keys',
    (s) => ({ get: (key) => s.get(key) ?? (key in {} ? 'inherited' : undefined) }),
  ],
  'values are decoded as UTF-8': ['values', withItems((item) => item && toText(item))],
  'values are cut at a NUL': [
    'values',
    withItems(
      (item) =>
        item &&
        Buffer.from(item).subarray(0, (Buffer.from(item).indexOf(0) + 1 || item.length + 1) - 1),
    ),
  ],
  'values are trimmed': [
    'values',
    withItems((item) => item && Buffer.from(Buffer.from(item).toString('latin1').trim(), 'latin1')),
  ],
  'values that are numbers are rewritten': [
    'values',
    withItems((item) => (item && /^\d+$/.test(toText(item)) ? String(Number(toText(item))) : item)),
  ],
  'bytes are written with the whole buffer behind them': [
    'values',
    (s) => ({
      set: (key, item, ttl) =>
        s.set(key, typeof item === 'string' ? item : new Uint8Array(item.buffer), ttl),
    }),
  ],
  'strings are written as Latin-1': [
    'values',
    (s) => ({
      set: (key, item, ttl) =>
        s.set(key, typeof item === 'string' ? Buffer.from(item, 'latin1') : item, ttl),
    }),
  ],
  'a store wipes the bytes it was given': [
    'values',
    (s) => ({
      set: (key, item, ttl) => {
        s.set(key, item, ttl)
        if (typeof item !== 'string') item.fill(0)
      },
    }),
  ],
  'getMany answers 100 keys at most': [
    'batches',
    (s) => ({ getMany: (keys) => s.getMany(keys.slice(0, 100)) }),
  ],
  'setMany stores 25 entries at most': [
    'batches',
    (s) => ({ setMany: (entries, ttl) => s.setMany(entries.slice(0, 25), ttl) }),
  ],
  'deleteMany counts the last part only': [
    'batches',
    (s) => ({
      deleteMany: (keys) =>
        [s.deleteMany(keys.slice(0, -500)), s.deleteMany(keys.slice(-500))][1] as number,
    }),
  ],
  'setMany gives its ttl to the first part only': [
    'batches',
    (s) => ({
      setMany: (entries, ttl) =>
        [s.setMany(entries.slice(0, 500), ttl), s.setMany(entries.slice(500))][0],
    }),
  ],
}
