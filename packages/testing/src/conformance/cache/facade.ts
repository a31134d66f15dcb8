import assert from 'node:assert/strict'
import { Cache, type CacheStore } from '@stowage/core'
import { Chaos, withChaos } from '../../chaos.ts'
import { assertCacheError, concurrently, countTrue } from '../support/assertions.ts'
import { type ConformanceCase, group } from '../support/case.ts'

const addOne = (current: number | undefined) => (current ?? 0) + 1

export const facade: readonly ConformanceCase[] = group('facade', {
  'undefined is a miss and null is a value': async ({ newCache, newKey }) => {
    const cache = newCache()
    const [key, missing] = [newKey(), newKey()]
    await cache.set(key, null)
    assert.equal(await cache.get(key), null, 'get returns a stored null')
    assert.equal(await cache.get(missing), undefined, 'get of a missing key returns undefined')
    assert.equal(await cache.has(key), true, 'has of a stored null returns true')
    assert.equal(await cache.has(missing), false, 'has of a missing key returns false')
    assert.deepEqual(
      await cache.getMany([missing, key, missing, key]),
      [undefined, null, undefined, null],
      'getMany keeps order, repeats and gaps',
    )
    assert.deepEqual(await cache.getMany([]), [], 'getMany([]) returns []')
  },

  'falsy values are not misses': async ({ newCache, newKey }) => {
    const cache = newCache()
    for (const value of [0, '', false, null]) {
      const key = newKey()
      const name = JSON.stringify(value)
      await cache.set(key, value)
      assert.equal(await cache.has(key), true, `has returns true for ${name}`)
      assert.equal(await cache.add(key, 1), false, `add does not replace ${name}`)
      assert.equal(await cache.pull(key), value, `pull returns ${name}`)
    }
  },

  'setMany takes any iterable and stores the last value of a repeated key': async (fixture) => {
    const cache = fixture.newCache()
    const [one, two] = fixture.newKeys(2) as [string, string]
    await cache.setMany(
      new Map([
        [one, 1],
        [two, 2],
      ]),
    )
    assert.deepEqual(await cache.getMany([one, two]), [1, 2], 'setMany takes a Map')
    await cache.setMany([
      [one, 'first'],
      [one, 'last'],
    ])
    assert.equal(await cache.get(one), 'last', 'the last value of a repeated key is stored')
    await cache.setMany([])
  },

  'exactly one of 100 concurrent adds stores its value': async ({ newCache, newKey }) => {
    const cache = newCache()
    const key = newKey()
    const added = await concurrently(100, (index) => cache.add(key, index))
    assert.equal(countTrue(added), 1, 'add is atomic: one concurrent call returns true')
    const stored = await cache.get(key)
    assert.equal(stored, added.indexOf(true), 'the value of that call is stored')
  },

  'replace stores the value only if the key exists': async ({ newCache, newKey }) => {
    const cache = newCache()
    const key = newKey()
    assert.equal(await cache.replace(key, 1), false, 'replace of a missing key returns false')
    assert.equal(await cache.get(key), undefined, 'replace of a missing key stores nothing')
    await cache.set(key, null)
    assert.equal(await cache.replace(key, 2), true, 'replace of an existing key returns true')
    assert.equal(await cache.get(key), 2, 'replace stores the new value')
  },

  'update stores the result of the change': async ({ newCache, newKey }) => {
    const cache = newCache()
    const key = newKey()
    const received: unknown[] = []
    const change = (current: number | undefined) => {
      received.push(current)
      return addOne(current)
    }
    assert.equal(await cache.update(key, change), 1, 'update returns the new value')
    const updated = await cache.update(key, async (n: number | undefined) => change(n))
    assert.equal(updated, 2, 'update waits for an asynchronous change')
    assert.deepEqual(received, [undefined, 1], 'the change gets the value, undefined for a miss')
    const remove = () => undefined
    assert.equal(await cache.update(key, remove), undefined, 'update to undefined returns it')
    assert.equal(await cache.has(key), false, 'update to undefined deletes the value')
    const again = await cache.update(key, remove)
    assert.equal(again, undefined, 'update to undefined of a missing key succeeds')
    assert.equal(await cache.has(key), false, 'update to undefined stores nothing')
  },

  'an update whose change throws stores nothing': async ({ newCache, newKey }) => {
    const cache = newCache()
    const key = newKey()
    await cache.set(key, 'kept')
    const failure = new Error('failure of the change')
    const change = () => {
      throw failure
    }
    const failed = cache.update(key, change)
    await assert.rejects(failed, failure, 'update rejects with the error of the change')
    assert.equal(await cache.get(key), 'kept', 'a failed update does not change the value')
    await cache.update(key, () => 'next')
    assert.equal(await cache.get(key), 'next', 'a failed update does not block the next one')
  },

  '50 concurrent updates are all applied': async ({ newCache, newKey }) => {
    const key = newKey()
    const cache = newCache()
    await concurrently(50, () => cache.update(key, addOne))
    assert.equal(await cache.get(key), 50, 'no update is lost')
  },

  'concurrent updates of two caches are all applied': async ({ newCache, newKey }) => {
    const key = newKey()
    const caches = [newCache(), newCache()] as const
    await concurrently(20, (index) => caches[index % 2 === 0 ? 0 : 1].update(key, addOne))
    assert.equal(await caches[0].get(key), 20, 'no update of the other cache is lost')
  },

  'pull returns the value and deletes it': async ({ newCache, newKey }) => {
    const cache = newCache()
    const key = newKey()
    await cache.set(key, { a: 1 })
    assert.deepEqual(await cache.pull(key), { a: 1 }, 'pull returns the value')
    assert.equal(await cache.has(key), false, 'pull deletes the value')
    assert.equal(await cache.pull(key), undefined, 'pull of a missing key returns undefined')
  },

  'exactly one of 100 concurrent pulls returns the value': async ({ newCache, newKey }) => {
    const cache = newCache()
    const key = newKey()
    await cache.set(key, 'value')
    const pulled = await concurrently(100, () => cache.pull(key))
    const count = countTrue(pulled.map((value) => value === 'value'))
    assert.equal(count, 1, 'pull is atomic: one concurrent call returns the value')
    assert.equal(await cache.has(key), false, 'pull deletes the value')
  },

  'delete and deleteMany return what existed': async ({ newCache, newKey }) => {
    const cache = newCache()
    const [one, two, missing] = [newKey(), newKey(), newKey()]
    await cache.setMany([
      [one, 1],
      [two, 2],
    ])
    const count = await cache.deleteMany([one, missing, two, one])
    assert.equal(count, 2, 'deleteMany counts existing keys, repeated ones once')
    assert.equal(await cache.deleteMany([]), 0, 'deleteMany([]) returns 0')
    await cache.set(one, null)
    assert.equal(await cache.delete(one), true, 'delete of an existing value returns true')
    assert.equal(await cache.delete(one), false, 'delete of a missing key returns false')
  },

  'touch keeps the value and never creates one': async ({ newCache, newKey }) => {
    const cache = newCache()
    const key = newKey()
    const touch = () => cache.touch(key, { ttl: '1m' })
    assert.equal(await touch(), false, 'touch of a missing key returns false')
    assert.equal(await cache.has(key), false, 'touch of a missing key stores nothing')
    await cache.set(key, { a: 1 })
    assert.equal(await touch(), true, 'touch of an existing value returns true')
    assert.deepEqual(await cache.get(key), { a: 1 }, 'touch keeps the value')
  },

  'a cache has the name of its driver and can ping it': async ({ newCache, store }) => {
    assert.equal(newCache().driver, store.name, 'driver is the name of the store')
    assert.equal(await newCache().ping(), undefined, 'ping resolves to undefined')
  },

  'if the store is unreachable, remember loads and other calls fail': async ({ store, newKey }) => {
    const chaos = new Chaos()
    const cache = new Cache(withChaos(store as unknown as CacheStore, chaos))
    const key = newKey()
    await cache.set(key, 'kept')
    chaos.failAll()
    const calls = {
      get: () => cache.get(key),
      getMany: () => cache.getMany([key]),
      set: () => cache.set(key, 1),
      increment: () => cache.increment(key),
      ping: () => cache.ping(),
    }
    for (const [method, call] of Object.entries(calls)) {
      const rule = `${method} of an unreachable store fails`
      await assertCacheError('ERR_CACHE_UNAVAILABLE', call, rule)
    }
    assert.equal(await cache.remember(key, {}, () => 'loaded'), 'loaded', 'remember loads')
    chaos.reset()
    assert.equal(await cache.get(key), 'kept', 'the value is kept during the outage')
  },
})
