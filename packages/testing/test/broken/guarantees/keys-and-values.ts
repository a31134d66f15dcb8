import { isAscii } from 'node:buffer'
import type { Payload } from '@stowage/core'
import { toBytes, toText } from '@stowage/core/driver'
import { type BrokenStores, keepReference, withHits, withKeys, withSet } from '../mutation.ts'

function beforeNul(payload: Payload): Payload {
  const bytes = toBytes(payload)
  const end = bytes.indexOf(0)
  return end === -1 ? bytes : bytes.subarray(0, end)
}

export const keysAndValues: BrokenStores = {
  'keys are trimmed': ['keys', withKeys((key) => key.trim())],
  'keys are converted to lower case': ['keys', withKeys((key) => key.toLowerCase())],
  'keys are truncated to 250 bytes': [
    'keys',
    withKeys((key) => Buffer.from(key).subarray(0, 250).toString('latin1')),
  ],
  'keys end at a NUL': ['keys', withKeys((key) => key.split('\0')[0] ?? '')],
  'keys are normalized': ['keys', withKeys((key) => key.normalize())],
  'keys are converted to ASCII': [
    'keys',
    withKeys((key) => Buffer.from(key, 'ascii').toString('ascii')),
  ],
  'keys are normalized as paths': ['keys', withKeys((key) => key.replace(/[/\\:]+/g, ':'))],
  'keys are URL-decoded': ['keys', withKeys((key) => key.replace('%20', ' ').replace('+', ' '))],
  'get finds inherited properties': [
    'keys',
    (store) => ({ get: (key) => store.get(key) ?? (key in {} ? 'inherited' : undefined) }),
  ],
  'values are decoded as UTF-8': ['values', withHits(toText)],
  'values end at a NUL': ['values', withHits(beforeNul)],
  'values are trimmed': [
    'values',
    withHits((found) => Buffer.from(toBytes(found).toString('latin1').trim(), 'latin1')),
  ],
  'values that are numbers are rewritten': [
    'values',
    withHits((found) => (/^\d+$/.test(toText(found)) ? String(Number(toText(found))) : found)),
  ],
  'set stores the whole buffer of a view': [
    'values',
    withSet((payload) => (typeof payload === 'string' ? payload : new Uint8Array(payload.buffer))),
  ],
  'set encodes strings as Latin-1': [
    'values',
    withSet((payload) => (typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload)),
  ],
  'bytes that are not text are read into one block': [
    'values',
    (store) => {
      const block = Buffer.alloc(20_000)
      return {
        get: (key) => {
          const found = store.get(key)
          if (found === undefined || isAscii(toBytes(found))) return found
          block.set(toBytes(found))
          return block.subarray(0, found.length)
        },
      }
    },
  ],
  'set overwrites the bytes of the caller': [
    'values',
    (store) => ({
      set: (key, payload, ttl) => {
        store.set(key, payload, ttl)
        if (typeof payload !== 'string') payload.fill(0)
      },
    }),
  ],
  'set keeps the buffer of the caller': [
    'values',
    (store) => ({
      set: (key, payload, ttl) => {
        store.set(key, payload, ttl)
        keepReference(store, key, payload)
      },
    }),
  ],
  'setMany keeps the buffers of the caller': [
    'values',
    (store) => ({
      setMany: (entries, ttl) => {
        store.setMany(entries, ttl)
        for (const [key, payload] of entries) keepReference(store, key, payload)
      },
    }),
  ],
  'add keeps the buffer of the caller': [
    'values',
    (store) => ({
      add: (key, payload, ttl) => {
        const added = store.add(key, payload, ttl)
        if (added) keepReference(store, key, payload)
        return added
      },
    }),
  ],
  'compareAndSet keeps the buffer of the caller': [
    'values',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) => {
        const replaced = store.compareAndSet(key, expected, next, ttl)
        if (replaced && next !== undefined) keepReference(store, key, next)
        return replaced
      },
    }),
  ],
  'set keeps a large buffer of the caller': [
    'values',
    (store) => ({
      set: (key, payload, ttl) => {
        store.set(key, payload, ttl)
        if (payload.length > 16_384) keepReference(store, key, payload)
      },
    }),
  ],
  'get returns a view of a buffer that the next get overwrites': [
    'values',
    (store) => {
      const shared = Buffer.alloc(2 ** 21)
      return {
        get: (key) => {
          const found = store.get(key)
          if (found === undefined) return undefined
          return shared.subarray(0, toBytes(found).copy(shared))
        },
      }
    },
  ],
  'get returns the buffer that a later set overwrites': [
    'values',
    (store) => ({
      set: (key, payload, ttl) => {
        const stored = store.items.get(key)?.bytes
        const next = toBytes(payload)
        if (stored?.length !== next.length) store.set(key, payload, ttl)
        else next.copy(stored)
      },
    }),
  ],
  'delete overwrites the bytes of the item': [
    'values',
    (store) => ({
      delete: (key) => {
        const bytes = store.items.get(key)?.bytes
        const existed = store.delete(key)
        bytes?.fill(0)
        return existed
      },
    }),
  ],
  'getMany returns at most 100 items': [
    'batches',
    (store) => ({ getMany: (keys) => store.getMany(keys.slice(0, 100)) }),
  ],
  'setMany stores at most 25 entries': [
    'batches',
    (store) => ({ setMany: (entries, ttl) => store.setMany(entries.slice(0, 25), ttl) }),
  ],
  'deleteMany counts the last chunk only': [
    'batches',
    (store) => ({
      deleteMany: (keys) => {
        store.deleteMany(keys.slice(0, -500))
        return store.deleteMany(keys.slice(-500))
      },
    }),
  ],
  'setMany applies its ttl to the first chunk only': [
    'batches',
    (store) => ({
      setMany: (entries, ttl) => {
        store.setMany(entries.slice(0, 500), ttl)
        store.setMany(entries.slice(500))
      },
    }),
  ],
}
