import assert from 'node:assert/strict'
import type { Cache, LoadContext, RememberOptions } from '@stowage/core'
import { concurrently } from '../support/assertions.ts'
import { type ConformanceCase, group } from '../support/case.ts'
import type { Fixture } from '../support/fixture.ts'
import {
  type HeldLoad,
  holdLease,
  holdRefresh,
  newProcessCaches,
  newProcesses,
  patience,
  strong,
} from '../support/processes.ts'

/** The ttl of values that become stale, in milliseconds. */
const staleMs = 5
/** A stale window that ends soon, in milliseconds. */
const windowMs = 30
const becomesStale = { ttl: staleMs, staleWhileRevalidate: '1h' } as const
const staysFresh = { ttl: '1h', staleWhileRevalidate: '1h' } as const

/** Changes of a key by another process, and the value that they leave. */
const changes: Readonly<
  Record<string, readonly [(cache: Cache, key: string) => unknown, unknown]>
> = {
  set: [(cache, key) => cache.set(key, 'written'), 'written'],
  update: [(cache, key) => cache.update(key, () => 'written'), 'written'],
  delete: [(cache, key) => cache.delete(key), undefined],
  'delete and set of the same value': [
    async (cache, key) => {
      await cache.delete(key)
      await cache.set(key, 'old')
    },
    'old',
  ],
  // Last, because it deletes the other keys.
  clear: [(cache) => cache.clear(), undefined],
}

/** Stores 'old' under each key, and waits until it is stale. */
async function storeStale(
  { letBecomeStale }: Fixture,
  cache: Cache,
  keys: readonly string[],
  options: RememberOptions<string> = becomesStale,
): Promise<void> {
  for (const key of keys) await cache.remember(key, options, () => 'old')
  await letBecomeStale(staleMs)
}

/** Whether the backend reveals the rest of a ttl. Some servers of a driver may not. */
async function revealsTtl({ store, newKey, item }: Fixture): Promise<boolean> {
  const key = newKey()
  await store.set(key, item('x'))
  const [found] = (await store.getWithTtl?.([key])) ?? []
  return found?.ttl !== undefined
}

export const staleValues: readonly ConformanceCase[] = group('stale values', {
  'a stale value is a miss, but remember returns it and refreshes it once': async (fixture) => {
    const [{ cache, refreshed }] = await newProcesses(fixture)
    const key = fixture.newKey()
    await storeStale(fixture, cache, [key])
    assert.equal(await cache.get(key), undefined, 'get of a stale value is a miss')
    assert.deepEqual(await cache.getMany([key]), [undefined], 'getMany of a stale value is a miss')
    assert.equal(await cache.has(key), false, 'has of a stale value returns false')
    let loads = 0
    const load = () => `loaded ${++loads}`
    const values = await concurrently(3, () => cache.remember(key, staysFresh, load))
    assert.deepEqual(values, ['old', 'old', 'old'], 'remember returns the stale value')
    await refreshed()
    assert.equal(await cache.get(key, strong), 'loaded 1', 'the value has been refreshed once')
  },

  'two processes refresh a stale value once': async (fixture) => {
    const [a, b] = await newProcesses(fixture)
    const key = fixture.newKey()
    await storeStale(fixture, a.cache, [key])
    const refresh = await holdRefresh(a, key, staysFresh)
    let loads = 0
    const value = await b.cache.remember(key, staysFresh, () => `other ${++loads}`)
    assert.equal(value, 'old', 'the other process gets the stale value meanwhile')
    await b.refreshed()
    await refresh.end('new')
    assert.equal(loads, 0, 'one process takes the lease of the refresh')
    assert.equal(await b.cache.get(key, strong), 'new', 'the refreshed value is stored')
  },

  'a value is kept for its ttl and its stale window': async (fixture) => {
    const [cache] = await newProcessCaches(fixture)
    const { shortTtl, assertExpires, waitUntilMissing, exact, exists } = fixture
    const [key, expired] = fixture.newKeys(2) as [string, string]
    const options = { ttl: shortTtl, staleWhileRevalidate: windowMs }
    for (const each of [key, expired]) await cache.remember(each, options, () => 'value')
    await cache.expire(expired)
    await assertExpires(key, shortTtl + windowMs, 'a value with a stale window')
    const rule = 'expire does not extend the stale window'
    if (exact) assert.equal(await exists(expired), false, rule)
    else await waitUntilMissing(expired, rule, shortTtl + windowMs)
  },

  'a failed load returns the stale value, in every process until the backoff ends': async (
    fixture,
  ) => {
    const [a, b] = await newProcessCaches(fixture)
    const options = { ttl: staleMs, staleIfError: '1h' } as const
    let loads = 0
    const fail = () => {
      loads++
      throw new Error('the database is down')
    }
    const { key, ttl } = await fixture.withinTtl(async (key, backoff) => {
      loads = 0
      await storeStale(fixture, a, [key], options)
      for (const cache of [a, b, a]) {
        const value = await cache.remember(key, { ...patience, ...options, backoff }, fail)
        assert.equal(value, 'old', 'the stale value is returned instead of the error')
      }
      assert.equal(loads, 1, 'during the backoff, no process loads')
    }, 2)
    await fixture.letExpire(ttl)
    const next = await a.remember(key, { ...patience, ...options, ttl: '1h' }, () => 'new')
    assert.equal(next, 'new', 'after the backoff, the value is loaded again')
    assert.equal(await b.get(key, strong), 'new', 'the loaded value replaces the stale one')
  },

  'expire makes a value stale, or deletes it if it has no stale window': async (fixture) => {
    const [a, b] = await newProcesses(fixture)
    const [windowed, plain, missing] = fixture.newKeys(3) as [string, string, string]
    await a.cache.remember(windowed, staysFresh, () => 'old')
    await a.cache.set(plain, 'old')
    assert.equal(await b.cache.expire(windowed), true, 'expire of a value returns true')
    assert.equal(await b.cache.expire(plain), true, 'expire of a value returns true')
    assert.equal(await b.cache.expire(missing), false, 'expire of a missing key returns false')
    assert.equal(await b.cache.get(windowed, strong), undefined, 'an expired value is a miss')
    assert.equal(await fixture.exists(plain), false, 'a value without a stale window is deleted')
    const value = await b.cache.remember(windowed, staysFresh, () => 'new')
    assert.equal(value, 'old', 'remember returns the expired value')
    await b.refreshed()
    assert.equal(await a.cache.get(windowed, strong), 'new', 'an expired value is refreshed')
  },

  'refresh: true replaces a fresh value': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture)
    const key = fixture.newKey()
    await a.remember(key, {}, () => 'old')
    const refreshed = await a.remember(key, { ...patience, refresh: true }, () => 'new')
    assert.equal(refreshed, 'new', 'a fresh value is loaded again')
    assert.equal(await b.get(key, strong), 'new', 'the loaded value replaces the fresh one')
  },

  'a requested refresh leaves the old value readable, and its ttl as it was': async (fixture) => {
    if (!(await revealsTtl(fixture))) return
    const [a, b] = await newProcessCaches(fixture)
    const loads: HeldLoad[] = []
    const rule = 'a refresh does not extend the ttl of the old value'
    await fixture.expiresBefore(1.5, rule, async (key, ttl) => {
      await b.set(key, 'old', { ttl })
      loads.push(await holdLease(a, key, { refresh: true }))
      assert.equal(await b.get(key, strong), 'old', 'the old value is read during a refresh')
    })
    for (const load of loads) await load.end('refreshed')
  },

  'a write during a refresh is not overwritten': async (fixture) => {
    const [a, b] = await newProcesses(fixture, { prefix: fixture.newKey('p:') })
    const names = Object.keys(changes)
    await storeStale(fixture, a.cache, names)
    for (const [name, [change, left]] of Object.entries(changes)) {
      const refresh = await holdRefresh(a, name, staysFresh)
      await change(b.cache, name)
      await refresh.end('refreshed')
      const rule = `${name} during a refresh in the background is in effect after it`
      assert.equal(await b.cache.get(name, strong), left, rule)
    }
  },

  'a write during a requested refresh is not overwritten': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture, { prefix: fixture.newKey('p:') })
    for (const [name, [change, left]] of Object.entries(changes)) {
      await a.set(name, 'old')
      const load = await holdLease(a, name, { refresh: true })
      await change(b, name)
      assert.equal(await load.end('refreshed'), 'refreshed', 'the caller gets the loaded value')
      const rule = `${name} during a refresh is in effect after it`
      assert.equal(await b.get(name, strong), left, rule)
    }
  },

  'a stale value is a miss for writes that depend on it': async (fixture) => {
    const [cache] = await newProcessCaches(fixture)
    const added = fixture.newKey()
    const [replaced, pulled, updated] = [fixture.newKey(), fixture.newKey(), fixture.newKey()]
    const taken = fixture.newKey()
    await storeStale(fixture, cache, [added, replaced, pulled, updated, taken])
    assert.equal(await cache.add(added, 'x'), true, 'add replaces a stale value')
    assert.equal(await cache.get(added), 'x', 'add stores its value')
    assert.equal(await cache.replace(replaced, 'x'), false, 'replace does not')
    assert.equal(await cache.pull(pulled), undefined, 'pull does not return it')
    const change = (current: unknown) => (current === undefined ? 'updated' : 'read')
    assert.equal(await cache.update(updated, change), 'updated', 'update does not read it')
    const snapshot = await cache.snapshot(taken)
    assert.equal(snapshot.value, undefined, 'snapshot does not return it')
    assert.equal(await snapshot.replace('x'), true, 'replace of a snapshot replaces it')
    assert.equal(await cache.get(taken), 'x', 'the value of the snapshot is stored')
  },

  'a loader receives the stale value and its validators, and may keep it': async (fixture) => {
    const [{ cache, refreshed }] = await newProcesses(fixture, { prefix: fixture.newKey('p:') })
    const validators = { etag: 'W/"\u00e4 1"', lastModified: 'Sat, 21 Nov 2026 00:00:00 GMT' }
    const value = { name: '\u{1f6a2} ship', parts: [1, null] }
    await cache.remember('k', { ...becomesStale, tags: ['t'] }, (context) => {
      context.setValidators(validators)
      return value
    })
    await fixture.letBecomeStale(staleMs)
    let seen: unknown
    const keep = (context: LoadContext<typeof value>) => {
      const { stale, etag, lastModified } = context
      seen = { stale, etag, lastModified }
      return context.notModified()
    }
    assert.deepEqual(await cache.remember('k', staysFresh, keep), value, 'the value is stale')
    await refreshed()
    assert.deepEqual(seen, { stale: value, ...validators }, 'the loader gets what was stored')
    assert.deepEqual(await cache.get('k', strong), value, 'notModified makes the value fresh')
    await cache.invalidateTags('t')
    assert.equal(await cache.get('k', strong), undefined, 'notModified keeps the tags')
  },

  'the processes of a backend agree about its time': async (fixture) => {
    const { store, createSharedStore, newKey } = fixture
    const [a, b] = await newProcessCaches(fixture)
    const key = newKey()
    await a.remember(key, { ttl: '1m', staleWhileRevalidate: '1h' }, () => 'value')
    assert.equal(await b.get(key, strong), 'value', 'a value is fresh for every process')
    const second = await createSharedStore()
    if (store.time === undefined || second?.time === undefined) return
    const { ttlStep, timeError = ttlStep } = store.limits
    const startedAt = performance.now()
    const [first, other] = [await store.time(), await second.time()]
    const tolerance = 2 * timeError + 50 + (performance.now() - startedAt)
    const rule =
      'time() of two stores is the time of the backend, with an error of limits.timeError'
    assert.ok(Math.abs(other - first) <= tolerance, rule)
    assert.ok(first > 1e12 && first < 1e13, 'time() is in epoch milliseconds')
  },
})
