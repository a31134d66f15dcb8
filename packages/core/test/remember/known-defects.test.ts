import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const root = new URL('../../../..', import.meta.url)

/**
 * Defects of other caches, and the test that Stowage does not have them. Those of copies in front of a store are left out:
 * a cache has none.
 */
const tested: Readonly<Record<string, readonly [file: string, test: string]>> = {
  'cacheable: wrap returns the profile of another user (32-bit hash)': [
    'packages/core/test/remember/wrap.test.ts',
    'differs for different arguments: a 32-bit hash returned the profile of another user',
  ],
  'cacheable: a loader that throws resolves to undefined': [
    'packages/testing/src/conformance/cache/remember.ts',
    'a failed load is shared and not stored',
  ],
  'cacheable, layered-loader: an evicted tag makes invalidated entries valid again': [
    'packages/testing/src/conformance/cache/tags.ts',
    'a value whose tag was lost is a miss for ever',
  ],
  'bentocache, FusionCache: an invalidation by tag ends after ten days': [
    'packages/testing/src/conformance/cache/tags.ts',
    'a tag lives for 30 days after its last use',
  ],
  'bentocache, FusionCache: 40 callers of a failing loader run it 40 times, one after another': [
    'test/remember/cases/failures.ts',
    'without backoff, each process loads once at a time, and throws its own error',
  ],
  'Symfony, FusionCache: what cannot be kept is loaded by one process after another': [
    'test/remember/cases/failures.ts',
    'processes do not wait for each other if the result cannot be kept',
  ],
  'bentocache, FusionCache #625: a delete during a load is undone': [
    'packages/testing/src/conformance/cache/leases.ts',
    'a deletion ends a lease, and the loaded value is not stored',
  ],
  'rueidis: the lock lives as long as the entry would': [
    'packages/testing/src/conformance/cache/leases.ts',
    'the ttl of a lease does not become that of the value',
  ],
  'Rails: reads of several keys ignore the protection of one': [
    'packages/core/test/remember/many/processes.test.ts',
    'each key is loaded once: a process waits for the keys that another one loads',
  ],
  'Rails: a value that was written meanwhile is overwritten by an old one': [
    'packages/testing/src/conformance/cache/stale-values.ts',
    'a write during a refresh is not overwritten',
  ],
  'Caffeine #193: a refresh replaces a value that was deleted and stored again': [
    'packages/core/test/remember/requested-refresh.test.ts',
    'is not stored over the same value after %s',
  ],
  'bentocache, HybridCache, Symfony: an invalidation by tag during a load is lost': [
    'packages/testing/src/conformance/cache/tags.ts',
    'a value whose tag is invalidated during its load is not read afterwards',
  ],
  'FusionCache #628: an invalidation by tag during a refresh is lost': [
    'packages/testing/src/conformance/cache/tags.ts',
    'a refresh during which the tag is invalidated is not read afterwards',
  ],
  'HybridCache #7411: the invalidation of another process is never noticed': [
    'packages/testing/src/conformance/cache/tags.ts',
    'invalidateTags in another process makes every value with the tag a miss',
  ],
  'FusionCache #319, bentocache: clocks that differ keep invalidated entries valid': [
    'packages/core/test/remember/tags.test.ts',
    'processes whose clocks differ agree about tags and freshness',
  ],
  'bentocache: an event reports the wrong outcome, or contains a serialized value': [
    'packages/core/test/remember/remember.test.ts',
    'publishes hits, misses, corrupt entries and loads with cache, store and key',
  ],
  'bentocache: a prefix is a pattern for clear': [
    'packages/redis/test/topology/cluster.test.ts',
    'clear() of a prefix with glob characters deletes exactly its own 10,000 keys',
  ],
  'bentocache: clear on a cluster deletes nothing; keyv: clear deletes one page': [
    'packages/testing/src/conformance/operations/clear.ts',
    'clear of a prefix deletes 1000 keys',
  ],
  'bentocache: deleteMany fails on a cluster': [
    'packages/testing/src/conformance/operations/batches.ts',
    'a large deleteMany counts each existing key once',
  ],
  'unstorage: a cluster lists 18 of 60 keys': [
    'packages/testing/src/conformance/operations/scan.ts',
    'scan lists 1200 keys on several pages',
  ],
  'adonis: touch restores an expired session': [
    'packages/testing/src/conformance/guarantees/expiry.ts',
    'touch does not restore an expired item',
  ],
  'unstorage: values change their type': [
    'packages/testing/src/conformance/guarantees/values.ts',
    'a cache returns values as documented',
  ],
  'unstorage: the ttl is ignored': [
    'packages/testing/src/conformance/cache/ttl.ts',
    'the ttl of a call overrides the ttl of the cache',
  ],
  'catbox-memcached: falsy values are misses': [
    'packages/testing/src/conformance/cache/facade.ts',
    'falsy values are not misses',
  ],
  'cachified: a failed read deletes the entry': [
    'packages/core/test/remember/remember.test.ts',
    'returns the loaded value after a failed read, without a write, and publishes the failure',
  ],
  'FusionCache: a load that never ends blocks its key': [
    'packages/core/test/remember/stale-values.test.ts',
    'ends a load that never ends, and frees the key',
  ],
  'HybridCache: only the last caller may end a load': [
    'packages/core/test/remember/stale-values.test.ts',
    'leaves when its signal aborts; the load is aborted when the last caller has left',
  ],
  'swr-cache #48, bentocache #103: stale hits wait for the refresh': [
    'packages/core/test/remember/stale-values.test.ts',
    'staleWhileRevalidate returns the stale value at once, and refreshes it once',
  ],
  'ForumMagnum #9102: a map of loads keeps requests in memory': [
    'packages/core/test/remember/memory.test.ts',
    'no request is held in memory after its loads',
  ],
  'async-cache-dedupe #35: loaded keys stay in memory': [
    'packages/core/test/remember/memory.full.test.ts',
    'keys that were loaded once leave nothing behind',
  ],
  'Symfony #41130: nested loads of two processes wait for each other': [
    'test/remember/cases/nesting.ts',
    'two processes whose loads need each other do not wait forever',
  ],
  'FusionCache: the lock of a dead process blocks its key for its whole ttl': [
    'test/remember/cases/holders.ts',
    'after the process of a load was killed, another one loads within the ttl of the lease',
  ],
  'Redisson #3636: a process that was stopped writes after its lock has ended': [
    'test/remember/cases/holders.ts',
    'the value of a process that was stopped beyond its lease is not kept',
  ],
  'HybridCache #5648: a load that callers wait for has no request context': [
    'packages/core/test/remember/context.test.ts',
    'is that of the first caller, for a load that callers wait for',
  ],
  'FusionCache #21: a refresh in the background uses a request that has ended': [
    'packages/core/test/remember/context.test.ts',
    'is that of no request, for a refresh in the background',
  ],
  'vinext #438: a platform that freezes after the response ends the refresh': [
    'packages/core/test/remember/stale-values.test.ts',
    'waitUntil receives the refreshes in the background',
  ],
  'vinext #498, adonis #164: each stale hit begins a refresh': [
    'packages/core/test/remember/many/cost.test.ts',
    'is one refresh in the background for 1,000 stale keys',
  ],
  'FusionCache #333: the windows of the caller and of the entry differ': [
    'packages/core/test/remember/stale-values.test.ts',
    'the window of the caller applies, even if the value was stored with a longer one',
  ],
  'bentocache #110: the stale window begins at the start': [
    'packages/testing/src/conformance/cache/stale-values.ts',
    'a value is kept for its ttl and its stale window',
  ],
  'FusionCache #194: one caller changes the value of another': [
    'packages/core/test/remember/remember.test.ts',
    'every caller that shares a load receives a value of its own',
  ],
  'FusionCache: the process that loads gets another value than the others': [
    'packages/core/test/remember/remember.test.ts',
    'a load returns what a later hit returns',
  ],
  'FusionCache, lru-cache: every wave of callers repeats a failing load': [
    'test/remember/cases/failures.ts',
    'with backoff, a failing load is executed once in all processes until that ends',
  ],
  'adonis, ocache: a failed refresh deletes the good value': [
    'packages/core/test/remember/requested-refresh.test.ts',
    'a failed refresh leaves the old value for the rest of its ttl',
  ],
  'rueidis #921: "not found" is kept as long as a value': [
    'packages/core/test/remember/stale-values.test.ts',
    'the ttl may depend on the value, and a loader may set it or skip the value',
  ],
  'Spring, openvsx #2220: an invalidation before the commit': [
    'docs/tags.md',
    '## Invalidate after the commit',
  ],
  'bentocache, FusionCache: copies outlive a lost connection to the bus': [
    'packages/redis/test/invalidation/bus-recovery.test.ts',
    'leaves no stale copy, whichever connections are cut',
  ],
  'bentocache: items that DynamoDB did not process are lost': [
    'packages/dynamodb/test/batch-failures.test.ts',
    'among sets of a tick, and the others are stored',
  ],
  'memcache: discovery does not start on the first use': [
    'packages/memcached/test/discovery/discovery.test.ts',
    'is queried by the first call of ready() and published',
  ],
}

test.each(Object.entries(tested))('%s', (_, [file, name]) => {
  expect(readFileSync(new URL(file, root), 'utf8').includes(name)).toBe(true)
})
