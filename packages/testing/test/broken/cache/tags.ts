import type { Payload } from '@stowage/core'
import {
  type BrokenStores,
  filteredScan,
  type Mutation,
  refuseDeleted,
  withKeys,
  withTtls,
} from '../mutation.ts'
import { driftingTime } from './stale-values.ts'

const isTag = (key: string) => key.includes('~tag:')

/** Answers reads of some keys with what the store has read first. */
function rememberingReads(matches: (key: string) => boolean): Mutation {
  return (store) => {
    const seen = new Map<string, Payload | undefined>()
    return {
      get: (key) => {
        if (!matches(key)) return store.get(key)
        if (seen.get(key) === undefined) seen.set(key, store.get(key))
        return seen.get(key)
      },
    }
  }
}

export const tags: BrokenStores = {
  'a store remembers the tags that it has read': ['tags', rememberingReads(isTag)],
  'compareAndSet never replaces a tag': [
    'tags',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        !isTag(key) && store.compareAndSet(key, expected, next, ttl),
    }),
  ],
  'setMany rewrites its items as text': [
    'tags',
    (store) => ({
      setMany: (entries, ttl) =>
        store.setMany(
          entries.map(([key]) => [key, '{}'] as const),
          ttl,
        ),
    }),
  ],
  'keys are converted to lower case after the prefix': [
    'tags',
    withKeys((key) => key.replace(/~tag:.*/, (name) => name.toLowerCase())),
  ],
  'keys of tags are normalized': ['tags', withKeys((key) => key.normalize())],
  'keys are truncated to 200 bytes': ['tags', withKeys((key) => key.slice(0, 200))],
  'the clock of each store is behind the previous one': ['tags', driftingTime(-600_000)],
  'add does not restore a lost tag': ['tags', refuseDeleted],
  'delete keeps a copy that reads find': [
    'tags',
    (store) => {
      const copies = new Map<string, Payload>()
      return {
        delete: (key) => {
          const found = store.get(key)
          if (found !== undefined) copies.set(key, found)
          return store.delete(key)
        },
        get: (key) => store.get(key) ?? copies.get(key),
      }
    },
  ],
  'scan ignores the prefix': ['tags', filteredScan(() => true)],
  'scan matches the beginning of the prefix': [
    'tags',
    filteredScan((key, prefix) => key.startsWith(prefix.replace(/[^:]+:$/, ''))),
  ],
  'ttls beyond 20 days are ignored': [
    'tags',
    withTtls((ttl) => (ttl !== undefined && ttl > 20 * 86_400_000 ? undefined : ttl)),
  ],
  'touch does not extend an item': [
    'tags',
    (store) => ({ touch: (key) => store.get(key) !== undefined }),
  ],
}
