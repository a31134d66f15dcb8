import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cache } from '@stowage/core'
import { assertCacheError, concurrently } from '../support/assertions.ts'
import { type ConformanceCase, group } from '../support/case.ts'
import type { Fixture } from '../support/fixture.ts'
import {
  holdLease,
  newProcessCaches,
  newSimultaneousCaches,
  newStoppableProcess,
  patience,
  strong,
} from '../support/processes.ts'

/** A change of a key by another process. */
type Change = (cache: Cache, key: string) => Promise<unknown>

/** Every method that stores the value 'written', or a counter. */
const writes: Readonly<Record<string, Change>> = {
  set: (cache, key) => cache.set(key, 'written'),
  setMany: (cache, key) => cache.setMany([[key, 'written']]),
  add: (cache, key) => cache.add(key, 'written'),
  update: (cache, key) =>
    cache.update(key, (current) => (current === undefined ? 'written' : 'read')),
  'replace of a snapshot': async (cache, key) => (await cache.snapshot(key)).replace('written'),
  increment: async (cache, key) => {
    assert.equal(await cache.increment(key, 2), 2, 'increment of a lease starts at zero')
    await cache.increment(key, 2)
  },
}

/** Every method that deletes a value. */
const deletions: Readonly<Record<string, Change>> = {
  delete: (cache, key) => cache.delete(key),
  deleteMany: (cache, key) => cache.deleteMany([key]),
  'set with a ttl of zero': (cache, key) => cache.set(key, 'x', { ttl: 0 }),
  'touch with a ttl of zero': (cache, key) => cache.touch(key, { ttl: 0 }),
  'update to undefined': (cache, key) => cache.update(key, () => undefined),
  'delete of a snapshot': async (cache, key) => (await cache.snapshot(key)).delete(),
  clear: (cache) => cache.clear(),
}

/** The lease of a process that stops, in milliseconds. The process renews it each third of that time. */
const shortLeaseMs = 60
const maxLeaseMs = 4_000
/** How often a lease is taken that the machine is too slow to renew. */
const maxAttempts = 20
/** How long processes load a value for themselves that was not stored, in milliseconds. */
const passMs = 1_000
const keptPollMs = 200

export const leases: readonly ConformanceCase[] = group('leases', {
  'a lease is a miss, and reads do not end it': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture)
    const key = fixture.newKey()
    const load = await holdLease(a, key)
    assert.equal(await b.get(key, strong), undefined, 'get of a lease is a miss')
    assert.deepEqual(await b.getMany([key], strong), [undefined], 'getMany of a lease is a miss')
    assert.equal(await b.has(key, strong), false, 'has of a lease returns false')
    assert.equal(await b.pull(key), undefined, 'pull of a lease is a miss')
    assert.equal(await b.replace(key, 1), false, 'replace does not replace a lease')
    assert.equal(await b.expire(key), false, 'expire of a lease returns false')
    assert.equal((await b.snapshot(key)).value, undefined, 'snapshot of a lease is a miss')
    assert.equal(await load.end('loaded'), 'loaded', 'the caller receives the loaded value')
    assert.equal(await b.get(key, strong), 'loaded', 'the loaded value replaces the lease')
  },

  'a write replaces a lease, and the loaded value is not stored': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture)
    for (const [name, write] of Object.entries(writes)) {
      const key = fixture.newKey()
      const load = await holdLease(a, key)
      await write(b, key)
      const rule = `${name} during the load of another process`
      const written = name === 'increment' ? 4 : 'written'
      assert.equal(await b.get(key, strong), written, `${rule}: the value is stored`)
      assert.equal(await load.end('loaded'), 'loaded', `${rule}: the caller gets its value`)
      for (const cache of [a, b]) {
        assert.equal(await cache.get(key, strong), written, `${rule}: the value is kept`)
      }
    }
  },

  'a deletion ends a lease, and the loaded value is not stored': async (fixture) => {
    for (const [name, remove] of Object.entries(deletions)) {
      const [a, b] = await newProcessCaches(fixture, { prefix: fixture.newKey('p:') })
      const load = await holdLease(a, 'k')
      await remove(b, 'k')
      const rule = `${name} during the load of another process`
      assert.equal(await load.end('loaded'), 'loaded', `${rule}: the caller gets its value`)
      for (const cache of [a, b]) {
        assert.equal(await cache.get('k', strong), undefined, `${rule}: nothing is stored`)
      }
    }
  },

  'after a deletion, another process loads at once': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture)
    const key = fixture.newKey()
    const load = await holdLease(a, key)
    await b.delete(key)
    assert.equal(await b.remember(key, patience, () => 'new'), 'new', 'the key is free again')
    assert.equal(await load.end('old'), 'old', 'the first caller receives its value')
    assert.equal(await a.get(key, strong), 'new', 'the value of the second load is kept')
  },

  'the ttl of a lease does not become that of the value': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture)
    const [key, touched] = fixture.newKeys(2) as [string, string]
    const { shortTtl } = fixture
    const load = await holdLease(a, touched, { ttl: shortTtl })
    await b.touch(touched, { ttl: '1h' })
    assert.equal(await b.get(touched, strong), undefined, 'touch does not make a lease a value')
    await (await holdLease(a, key, { ttl: shortTtl })).end('loaded')
    await load.end('loaded')
    await fixture.assertExpires(touched, shortTtl, 'a value whose lease had a longer ttl')
    if (!fixture.exact) await fixture.waitUntilMissing(key, 'a loaded value expires')
    assert.equal(await fixture.exists(key), false, 'a loaded value expires after its own ttl')
  },

  'a snapshot of a lease does not replace the loaded value': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture)
    const key = fixture.newKey()
    const load = await holdLease(a, key)
    const snapshot = await b.snapshot(key)
    await load.end('loaded')
    assert.equal(await snapshot.replace('x'), false, 'replace of an outdated snapshot is refused')
    assert.equal(await snapshot.delete(), false, 'delete of an outdated snapshot is refused')
    assert.equal(await b.get(key, strong), 'loaded', 'the loaded value is kept')
  },

  'another process waits for a load and receives its value': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture)
    const key = fixture.newKey()
    const load = await holdLease(a, key)
    let loads = 0
    const waiting = concurrently(3, () => b.remember(key, patience, () => ++loads))
    await load.end('loaded')
    assert.deepEqual(await waiting, ['loaded', 'loaded', 'loaded'], 'the others get the value')
    assert.equal(loads, 0, 'the others do not load')
  },

  'of two processes that begin at the same time, one loads': async (fixture) => {
    const caches = await newSimultaneousCaches(fixture)
    for (const key of fixture.newKeys(5)) {
      let loads = 0
      const load = async () => {
        loads++
        await sleep(2)
        return 'loaded'
      }
      const calls = [...caches, ...caches].map((cache) => cache.remember(key, patience, load))
      const values = await Promise.all(calls)
      assert.deepEqual(new Set(values), new Set(['loaded']), 'all callers get the value')
      assert.equal(loads, 1, 'one process takes the lease')
    }
  },

  'the lease of a stopped process is taken over': async (fixture) => {
    const [, b] = await newProcessCaches(fixture)
    const { cache, stop, resume } = newStoppableProcess(fixture)
    const key = fixture.newKey()
    const load = await holdLease(cache, key, { lease: 50 })
    stop()
    const value = await b.remember(key, patience, () => 'new')
    assert.equal(value, 'new', 'another process loads after the duration of the lease')
    resume()
    assert.equal(await load.end('old'), 'old', 'the stopped process continues')
    assert.equal(await b.get(key, strong), 'new', 'its value is not stored')
  },

  'the lease of a stopped process expires': async (fixture) => {
    for (const isRenewed of [false, true]) {
      const { cache, stop, resume } = newStoppableProcess(fixture)
      const { key, load } = await holdFor(fixture, cache, isRenewed)
      stop()
      // A renewal may be under way. Calls for one key take effect in order.
      await fixture.store.get(key, strong)
      const rule = isRenewed ? 'a lease that was renewed' : 'a lease'
      await fixture.assertExpires(key, shortLeaseMs, rule)
      await load.end('late')
      resume()
    }
  },

  'a lease that is renewed does not expire': async (fixture) => {
    const { newKey, exact, exists, roundedTtl, wait } = fixture
    const [a] = await newProcessCaches(fixture)
    if (!exact) return storesSlowLoad(fixture, a)
    const key = newKey()
    const load = await holdLease(a, key, { lease: shortLeaseMs })
    for (let renewals = 0; renewals < 2; renewals++) {
      await untilRenewed(fixture, key)
      await wait(roundedTtl(shortLeaseMs) - 1)
      assert.ok(await exists(key), 'a renewal extends the lease')
    }
    await load.end('loaded')
    assert.equal(await a.get(key, strong), 'loaded', 'the value of a slow load is stored')
  },

  'a load that fails or has no value frees the key': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture)
    const [failed, empty] = fixture.newKeys(2) as [string, string]
    const fail = () => Promise.reject(new Error('the database is down'))
    await assert.rejects(a.remember(failed, {}, fail), /database/, 'the caller gets the error')
    assert.equal(await a.remember(empty, {}, () => undefined), undefined, 'undefined is returned')
    for (const key of [failed, empty]) {
      assert.equal(await b.has(key, strong), false, 'a load without a value stores none')
      assert.equal(await b.remember(key, patience, () => 'next'), 'next', 'the key is free')
    }
    if (fixture.exact) {
      await fixture.letExpire(passMs)
      assert.equal(await fixture.countExisting([failed, empty]), 0, 'nothing is left behind')
    }
    for (const key of [failed, empty]) {
      await b.set(key, 'written')
      assert.equal(await a.get(key, strong), 'written', 'the key can be written')
    }
  },

  'a failure with a backoff rejects loads of every process until it ends': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture)
    const fail = () => Promise.reject(new Error('the database is down'))
    const { key, ttl } = await fixture.withinTtl(async (key, backoff) => {
      await assert.rejects(a.remember(key, { backoff }, fail), /database/, 'the load fails')
      const next = () => b.remember(key, patience, () => 'next')
      await assertCacheError('ERR_CACHE_LOAD', next, 'a load during the backoff is rejected')
    }, 1)
    await fixture.letExpire(ttl)
    assert.equal(await b.remember(key, patience, () => 'next'), 'next', 'the backoff ends')
    assert.equal(await a.get(key, strong), 'next', 'the value after the backoff is stored')
  },

  'touch does not prolong the backoff of a failure': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture)
    const fail = () => Promise.reject(new Error('the database is down'))
    const { key, ttl } = await fixture.withinTtl(async (key, backoff) => {
      await assert.rejects(a.remember(key, { backoff }, fail), /database/, 'the load fails')
      await b.touch(key, { ttl: '1h' })
      const early = () => b.remember(key, patience, () => 'early')
      await assertCacheError('ERR_CACHE_LOAD', early, 'touch does not end the backoff')
    }, 1)
    await fixture.letExpire(ttl)
    await untilKept(fixture, b, key, 'the value after the backoff is stored')
  },

  'touch does not prolong the time in which a value is not kept': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture)
    const key = fixture.newKey()
    await a.remember(key, {}, () => undefined)
    await b.touch(key, { ttl: null })
    assert.equal(await b.remember(key, patience, () => 'early'), 'early', 'the key is free')
    await fixture.wait(passMs)
    await untilKept(fixture, b, key, 'a later value is stored')
  },
})

/** Loads the key until the value is stored, for longer than the times that two processes have can differ. */
async function untilKept(fixture: Fixture, cache: Cache, key: string, rule: string): Promise<void> {
  const { ttlStep, timeError = ttlStep } = fixture.store.limits
  const timeoutMs = keptPollMs + 4 * timeError
  for (let waitedMs = 0; (await cache.get(key, strong)) === undefined; waitedMs += keptPollMs) {
    assert.ok(waitedMs <= timeoutMs, rule)
    await fixture.wait(keptPollMs)
    await cache
      .remember(key, patience, () => 'next')
      .catch((error) => {
        if (error.code !== 'ERR_CACHE_LOAD') throw error
      })
  }
}

/** Loads for three times as long as the lease would exist alone: with a longer one if the machine was too slow to renew it. */
async function storesSlowLoad(fixture: Fixture, cache: Cache): Promise<void> {
  for (let lease = shortLeaseMs; ; lease *= 2) {
    const key = fixture.newKey()
    const load = await holdLease(cache, key, { lease })
    await fixture.wait(3 * lease)
    await load.end('loaded')
    if ((await cache.get(key, strong)) === 'loaded') return
    assert.ok(lease < maxLeaseMs, 'a renewal extends the lease')
  }
}

/** Begins a load with a short lease. Begins another one if the machine was too slow to renew the lease. */
async function holdFor(fixture: Fixture, cache: Cache, isRenewed: boolean) {
  for (let attempts = 1; ; attempts++) {
    const key = fixture.newKey()
    const load = await holdLease(cache, key, { lease: shortLeaseMs })
    if (!isRenewed || (await untilRenewed(fixture, key)) || attempts === maxAttempts)
      return { key, load }
    await load.end('late')
  }
}

/**
 * Waits until the process that holds the lease has renewed it, by its timer in real time. Resolves to false if the lease has
 * expired before, because the machine was too slow.
 */
async function untilRenewed({ store, sameItem }: Fixture, key: string): Promise<boolean> {
  const before = await store.get(key, strong)
  let item = before
  // Counts turns instead of time, in which a process that the machine stops cannot renew its lease.
  for (let turns = 0; item !== undefined && sameItem(item, before); turns++) {
    assert.ok(turns < 3_000, 'a lease is renewed by a compareAndSet')
    await sleep(5)
    item = await store.get(key, strong)
  }
  return item !== undefined
}
