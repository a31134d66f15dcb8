import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { concurrently } from '../support/assertions.ts'
import { type ConformanceCase, group } from '../support/case.ts'

/** A loader that counts its calls in `calls`, and passes that number to `load`. */
function countingLoader<T>(load: (call: number) => T | Promise<T>) {
  const loader = Object.assign(async () => load(++loader.calls), { calls: 0 })
  return loader
}

export const remember: readonly ConformanceCase[] = group('remember', {
  'remember loads and stores a missing value': async ({ newCache, newKey }) => {
    const cache = newCache()
    const key = newKey()
    const load = countingLoader((call) => ({ call }))
    assert.deepEqual(await cache.remember(key, {}, load), { call: 1 }, 'a miss is loaded')
    assert.deepEqual(await cache.remember(key, {}, load), { call: 1 }, 'a hit is not loaded')
    assert.deepEqual(await cache.get(key), { call: 1 }, 'the loaded value is stored')
    await cache.delete(key)
    const reloaded = await cache.remember(key, {}, load)
    assert.deepEqual(reloaded, { call: 2 }, 'a deleted value is loaded again')
  },

  '100 concurrent calls of remember load once': async ({ newCache, newKey }) => {
    const cache = newCache()
    const key = newKey()
    const load = countingLoader(async (call) => {
      await sleep(5)
      return call
    })
    const values = await concurrently(100, () => cache.remember(key, {}, load))
    assert.equal(load.calls, 1, 'a load in flight is shared')
    assert.deepEqual(new Set(values), new Set([1]), 'all callers get the loaded value')
  },

  'remember loads each key separately': async ({ newCache, newKeys }) => {
    const cache = newCache()
    const keys = newKeys(20)
    const loaded = await Promise.all(keys.map((key) => cache.remember(key, {}, async () => key)))
    assert.deepEqual(loaded, keys, 'each caller gets the value of its key')
  },

  'remember stores null and falsy values': async ({ newCache, newKey }) => {
    const cache = newCache()
    for (const value of [null, 0, '', false]) {
      const key = newKey()
      const load = countingLoader(() => value)
      assert.equal(await cache.remember(key, {}, load), value, 'the loaded value is returned')
      assert.equal(await cache.remember(key, {}, load), value, 'the stored value is returned')
      assert.equal(load.calls, 1, `${JSON.stringify(value)} is loaded once`)
    }
  },

  'remember returns undefined and does not store it': async ({ newCache, newKey }) => {
    const cache = newCache()
    const key = newKey()
    const load = countingLoader(() => undefined)
    assert.equal(await cache.remember(key, {}, load), undefined, 'undefined is returned')
    assert.equal(await cache.has(key), false, 'undefined is not stored')
    await cache.remember(key, {}, load)
    assert.equal(load.calls, 2, 'undefined is loaded again')
  },

  'a failed load is shared and not stored': async ({ newCache, newKey }) => {
    const cache = newCache()
    const key = newKey()
    const failure = new Error('the database is down')
    const load = countingLoader(async (call) => {
      await sleep(5)
      if (call === 1) throw failure
      return 'loaded'
    })
    const calls = Array.from({ length: 10 }, () => cache.remember(key, {}, load))
    for (const outcome of await Promise.allSettled(calls)) {
      assert.equal(outcome.status, 'rejected', 'all concurrent callers get the error')
      const { reason } = outcome as PromiseRejectedResult
      assert.equal(reason, failure, 'the error of the loader is passed on unchanged')
    }
    assert.equal(load.calls, 1, 'concurrent callers share the failed load')
    assert.equal(await cache.has(key), false, 'a failed load stores nothing')
    assert.equal(await cache.remember(key, {}, load), 'loaded', 'the next call loads again')
  },

  'remember rejects if the loader throws synchronously': async ({ newCache, newKey }) => {
    const cache = newCache()
    const key = newKey()
    const load = () => {
      throw new Error('synchronous')
    }
    await assert.rejects(cache.remember(key, {}, load), /synchronous/, 'remember rejects')
    assert.equal(await cache.remember(key, {}, () => 1), 1, 'the next call loads')
  },

  'a loaded value expires after the ttl of remember': async (fixture) => {
    const { newCache, newKey, shortTtl, assertExpires } = fixture
    const key = newKey()
    await newCache().remember(key, { ttl: shortTtl }, () => 'loaded')
    await assertExpires(key, shortTtl, 'a loaded value expires after the ttl of remember')
  },

  'remember loads an expired value again': async ({ newCache, newKey, shortTtl, letExpire }) => {
    const cache = newCache()
    const key = newKey()
    const load = countingLoader((call) => call)
    await cache.remember(key, { ttl: shortTtl }, load)
    await letExpire(shortTtl)
    const reloaded = await cache.remember(key, { ttl: '1m' }, load)
    assert.equal(reloaded, 2, 'an expired value is loaded again')
    assert.equal(await cache.remember(key, { ttl: '1m' }, load), 2, 'the new value is stored')
  },

  'a namespace and its parent load separately': async ({ newCache, newKey }) => {
    const root = newCache({ prefix: newKey('p:') })
    assert.equal(await root.remember('a', {}, () => 'root'), 'root', 'the parent loads its value')
    const nested = await root.namespace('n').remember('a', {}, () => 'nested')
    assert.equal(nested, 'nested', 'the namespace loads its own value')
  },
})
