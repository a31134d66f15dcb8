import assert from 'node:assert/strict'
import { Cache, type CacheStore } from '@stowage/core'
import { Chaos, withChaos } from '../chaos.ts'
import { type ConformanceCase, group } from './case.ts'
import { fails, together, winners } from './expect.ts'

export const facade: readonly ConformanceCase[] = group('facade', {
  'get, has and getMany: a miss is undefined, null is a value': async ({ cache, key }) => {
    const cached = cache()
    const [mine, gone] = [key(), key()]
    await cached.set(mine, null)
    assert.equal(await cached.get(mine), null, 'null is a value')
    assert.equal(await cached.get(gone), undefined, 'a miss is undefined')
    assert.equal(await cached.has(mine), true, 'null is there')
    assert.equal(await cached.has(gone), false, 'a miss is not there')
    assert.deepEqual(
      await cached.getMany([gone, mine, gone, mine]),
      [undefined, null, undefined, null],
      'getMany keeps order, gaps and repeats',
    )
    assert.deepEqual(await cached.getMany([]), [], 'getMany of nothing is nothing')
  },

  'falsy values are there': async ({ cache, key }) => {
    const cached = cache()
    for (const value of [0, '', false, null]) {
      const mine = key()
      await cached.set(mine, value)
      assert.equal(await cached.has(mine), true, `${JSON.stringify(value)} is a value`)
      assert.equal(await cached.add(mine, 1), false, `${JSON.stringify(value)} is there`)
      assert.equal(await cached.pull(mine), value, `${JSON.stringify(value)} can be pulled`)
    }
  },

  'setMany takes any iterable, the last of a repeated key wins': async ({ cache, key }) => {
    const cached = cache()
    const [one, two] = [key(), key()]
    await cached.setMany(
      new Map([
        [one, 1],
        [two, 2],
      ]),
    )
    assert.deepEqual(await cached.getMany([one, two]), [1, 2], 'setMany takes a Map')
    await cached.setMany([
      [one, 'first'],
      [one, 'last'],
    ])
    assert.equal(await cached.get(one), 'last', 'the last of a repeated key wins')
    await cached.setMany([])
  },

  'add stores only where nothing is': async ({ cache, key }) => {
    const cached = cache()
    const mine = key()
    const added = await together(100, (index) => cached.add(mine, index))
    assert.equal(winners(added), 1, 'of many adds at once one wins')
    assert.equal(await cached.get(mine), added.indexOf(true), 'the winner is what lives')
  },

  'replace stores only where something is': async ({ cache, key }) => {
    const cached = cache()
    const mine = key()
    assert.equal(await cached.replace(mine, 1), false, 'replace never creates')
    assert.equal(await cached.get(mine), undefined, 'replace never creates')
    await cached.set(mine, null)
    assert.equal(await cached.replace(mine, 2), true, 'replace says that it did')
    assert.equal(await cached.get(mine), 2, 'replace replaces')
  },

  'update sees the current value and stores what it becomes': async ({ cache, key }) => {
    const cached = cache()
    const mine = key()
    const seen: unknown[] = []
    const step = (current: number | undefined) => {
      seen.push(current)
      return (current ?? 0) + 1
    }
    assert.equal(await cached.update(mine, step), 1, 'update returns the new value')
    assert.equal(await cached.update(mine, async (current: number | undefined) => step(current)), 2)
    assert.deepEqual(seen, [undefined, 1], 'update sees undefined for a miss, then the value')
    assert.equal(await cached.update(mine, () => undefined), undefined, 'undefined deletes')
    assert.equal(await cached.has(mine), false, 'undefined deletes')
    assert.equal(
      await cached.update(mine, () => undefined),
      undefined,
      'nothing to delete is no error',
    )
    assert.equal(await cached.has(mine), false, 'undefined creates nothing')
  },

  'an update that throws changes nothing': async ({ cache, key }) => {
    const cached = cache()
    const mine = key()
    await cached.set(mine, 'kept')
    const failure = new Error('mine')
    const change = () => {
      throw failure
    }
    await assert.rejects(
      cached.update(mine, change),
      failure,
      'an error of the change is passed on',
    )
    assert.equal(await cached.get(mine), 'kept', 'an update that throws changes nothing')
    await cached.update(mine, () => 'next')
    assert.equal(await cached.get(mine), 'next', 'a failed update does not block the next one')
  },

  'of 50 updates at once all count': async ({ cache, key }) => {
    const mine = key()
    const cached = cache()
    await together(50, () => cached.update(mine, (n: number | undefined) => (n ?? 0) + 1))
    assert.equal(await cached.get(mine), 50, 'no update is lost')
  },

  'updates of two caches at once all count': async ({ cache, key }) => {
    const mine = key()
    const caches = [cache(), cache()] as const
    await together(20, (index) =>
      caches[index % 2 === 0 ? 0 : 1].update(mine, (n: number | undefined) => (n ?? 0) + 1),
    )
    assert.equal(await caches[0].get(mine), 20, 'no update of another process is lost')
  },

  'pull returns and deletes': async ({ cache, key }) => {
    const cached = cache()
    const mine = key()
    await cached.set(mine, { a: 1 })
    assert.deepEqual(await cached.pull(mine), { a: 1 }, 'pull returns the value')
    assert.equal(await cached.has(mine), false, 'pull deletes it')
    assert.equal(await cached.pull(mine), undefined, 'pull of a miss is undefined')
  },

  'of 100 who pull at once one gets it': async ({ cache, key }) => {
    const cached = cache()
    const mine = key()
    await cached.set(mine, 'prize')
    const pulled = await together(100, () => cached.pull(mine))
    assert.equal(winners(pulled.map((each) => each === 'prize')), 1, 'pull is atomic')
    assert.equal(await cached.has(mine), false, 'pull deletes')
  },

  'delete and deleteMany say what was there': async ({ cache, key }) => {
    const cached = cache()
    const [one, two, gone] = [key(), key(), key()]
    await cached.setMany([
      [one, 1],
      [two, 2],
    ])
    assert.equal(await cached.deleteMany([one, gone, two, one]), 2, 'deleteMany counts each once')
    assert.equal(await cached.deleteMany([]), 0, 'deleteMany of nothing is 0')
    await cached.set(one, null)
    assert.equal(await cached.delete(one), true, 'delete of a value is true')
    assert.equal(await cached.delete(one), false, 'delete of a miss is false')
  },

  'touch never creates and keeps the value': async ({ cache, key }) => {
    const cached = cache()
    const mine = key()
    assert.equal(await cached.touch(mine, { ttl: '1m' }), false, 'touch never creates')
    assert.equal(await cached.has(mine), false, 'touch never creates')
    await cached.set(mine, { a: 1 })
    assert.equal(
      await cached.touch(mine, { ttl: '1m' }),
      true,
      'touch says that the value is there',
    )
    assert.deepEqual(await cached.get(mine), { a: 1 }, 'touch keeps the value')
  },

  'a cache knows its driver and pings it': async ({ cache, store }) => {
    assert.equal(cache().driver, store.name, 'driver is the name of the store')
    assert.equal(await cache().ping(), undefined, 'ping resolves')
  },

  'while the store is unreachable, remember computes and the rest fails': async (subject) => {
    const { store, key } = subject
    const chaos = new Chaos()
    const cached = new Cache(withChaos(store as unknown as CacheStore, chaos))
    const mine = key()
    await cached.set(mine, 'kept')
    chaos.failAll()
    const rule = 'an unreachable store is ERR_CACHE_UNAVAILABLE'
    await fails('ERR_CACHE_UNAVAILABLE', () => cached.get(mine), rule)
    await fails('ERR_CACHE_UNAVAILABLE', () => cached.getMany([mine]), rule)
    await fails('ERR_CACHE_UNAVAILABLE', () => cached.set(mine, 1), rule)
    await fails('ERR_CACHE_UNAVAILABLE', () => cached.increment(mine), rule)
    await fails('ERR_CACHE_UNAVAILABLE', () => cached.ping(), rule)
    assert.equal(await cached.remember(mine, {}, () => 'loaded'), 'loaded', 'remember computes')
    chaos.reset()
    assert.equal(await cached.get(mine), 'kept', 'an outage deletes nothing')
  },
})
