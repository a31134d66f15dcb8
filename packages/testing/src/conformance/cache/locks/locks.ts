import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cache } from '@stowage/core'
import { assertCacheError, collectKeys, concurrently, countTrue } from '../../support/assertions.ts'
import { type ConformanceCase, group } from '../../support/case.ts'
import type { Fixture } from '../../support/fixture.ts'
import { newProcessCaches } from '../../support/processes.ts'

/** Longer than any test takes. */
const long = { ttl: '1m' } as const
const wait = '15s'
/** The ttl of a lock that is renewed by timers in real time, in milliseconds. */
const renewedTtl = 1_500

export const locks: readonly ConformanceCase[] = group('locks', {
  'one owner holds a lock, and no other can release it': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture)
    const name = fixture.newKey()
    const [first, second] = [a.lock(name, long), b.lock(name, long)]
    assert.equal(await first.isLocked(), false, 'a lock is free at first')
    assert.equal(await first.acquire(), true, 'a free lock is acquired')
    assert.equal(await first.acquire(), false, 'a lock cannot be acquired twice')
    assert.equal(await second.acquire(), false, 'a lock that is held is not acquired')
    assert.deepEqual([await first.isOwned(), await second.isOwned()], [true, false], 'isOwned')
    assert.equal(await second.isLocked(), true, 'isLocked')
    assert.equal(await second.release(), false, 'another owner does not release a lock')
    assert.equal(await second.refresh(), false, 'another owner does not extend a lock')
    assert.equal(await first.isOwned(), true, 'the lock is still held')
    assert.equal(await first.release(), true, 'its owner releases it')
    assert.equal(await first.release(), false, 'it is released once')
    assert.equal(await second.isLocked(), false, 'it is free')
    assert.equal(await second.acquire(), true, 'another owner acquires it')
    assert.equal(await first.release(), false, 'a former owner does not release it')
    assert.equal(await second.isOwned(), true, 'it is held by the second owner')
  },

  'of those that acquire a lock at the same time, one does': async (fixture) => {
    const caches = await newProcessCaches(fixture)
    for (const name of fixture.newKeys(3)) {
      const results = await concurrently(20, (index) =>
        (caches[index % 2] as Cache).lock(name, long).acquire(),
      )
      assert.equal(countTrue(results), 1, 'acquire is atomic')
    }
  },

  'a lock ends with its ttl, and its late holder harms nobody': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture)
    let held = a.lock('none')
    const { key, ttl } = await fixture.withinTtl(async (name, ttl) => {
      held = a.lock(name, { ttl, owner: 'late' })
      assert.equal(await held.acquire(), true, 'a free lock is acquired')
      assert.equal(await b.lock(name).acquire(), false, 'a lock is held for its ttl')
    })
    await fixture.letExpire(ttl)
    const [late, next] = [a.restoreLock(key, 'late'), b.lock(key, long)]
    assert.equal(await late.isOwned(), false, 'a lock ends with its ttl')
    assert.equal(await held.refresh(), false, 'a lock that has ended is not created again')
    assert.equal(await next.acquire(), true, 'a lock whose ttl is over is acquired')
    for (const lock of [held, late]) {
      assert.equal(await lock.refresh(), false, 'a late renewal does nothing')
      assert.equal(await lock.release(), false, 'a late release does nothing')
    }
    assert.equal(await next.isOwned(), true, 'the next holder keeps the lock')
  },

  'refresh sets the ttl anew': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture)
    const { key, ttl } = await fixture.withinTtl(async (name, ttl) => {
      assert.equal(await a.lock(name, { ttl, owner: 'x' }).acquire(), true, 'it is acquired')
      assert.equal(await a.restoreLock(name, 'x').refresh('1d'), true, 'refresh of a held lock')
    })
    await fixture.letExpire(ttl)
    assert.equal(await b.lock(key).acquire(), false, 'refresh extends a lock')
    assert.equal(await a.restoreLock(key, 'x').refresh(ttl), true, 'refresh with a shorter ttl')
    await fixture.letExpire(ttl)
    assert.equal(await b.lock(key).acquire(), true, 'refresh shortens a lock')
  },

  'run renews a lock': async (fixture) => {
    // A busy machine may stop a process, or its backend, for longer than the first ttl.
    if (await isRenewed(fixture, renewedTtl)) return
    const ttl = (fixture.exact ? 4 : 10) * renewedTtl
    assert.ok(await isRenewed(fixture, ttl), 'a renewed lock does not expire')
  },

  'run releases the lock if its work fails': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture)
    const name = fixture.newKey()
    const fail = () => Promise.reject(new Error('the work failed'))
    await assert.rejects(
      a.lock(name, long).run(fail),
      /the work failed/,
      'the caller gets the error',
    )
    assert.equal(await b.lock(name, long).run(() => 'done'), 'done', 'the lock is free')
    assert.equal(await a.lock(name).isLocked(), false, 'it is free again')
  },

  'a call waits until a lock is released': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture)
    const name = fixture.newKey()
    const held = a.lock(name, long)
    await held.acquire()
    const waiting = Array.from({ length: 3 }, (_, index) =>
      b.lock(name, long).run(() => index, { wait }),
    )
    await sleep(20)
    assert.equal(await held.release(), true, 'the holder releases it')
    assert.deepEqual(await Promise.all(waiting), [0, 1, 2], 'all that wait acquire it')
    assert.equal(await held.acquire(), true, 'the lock is free')
    const late = () => b.lock(name).block(20)
    const error = await assertCacheError('ERR_CACHE_LOCKED', late, 'a wait ends in time')
    assert.equal(error.retryable, true, 'the call can be repeated')
    const signal = AbortSignal.timeout(10)
    const aborted = b.lock(name).block(wait, { signal })
    await assert.rejects(aborted, /TimeoutError/, 'a wait ends with its signal')
  },

  'a lock can be released elsewhere by its owner': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture)
    const name = fixture.newKey()
    const lock = a.lock(name, long)
    await lock.acquire()
    assert.equal(await b.restoreLock(name, lock.owner).isOwned(), true, 'the owner is stored')
    assert.equal(await b.restoreLock(name, lock.owner).release(), true, 'its owner releases it')
    assert.equal(await lock.release(), false, 'it is released once')
    assert.equal(await b.lock(name).acquire(), true, 'it is free')
  },

  'fencing numbers rise in the order of the holders': async (fixture) => {
    const prefix = fixture.newKey('p:')
    const [a, b] = await newProcessCaches(fixture, { prefix })
    const numbers: number[] = []
    for (const cache of [a, b, a]) {
      await cache.lock('fenced', long).run(async ({ fence }) => {
        numbers.push(await fence(), await fence())
      })
    }
    await deleteReserved(fixture, prefix, 'fence:fenced')
    // Only the time of the backend tells which numbers were used.
    if (fixture.exact) await fixture.wait(10_000)
    await b.lock('fenced', long).run(async ({ fence }) => numbers.push(await fence()))
    const sorted = [...new Set(numbers)].sort((x, y) => x - y)
    assert.deepEqual(numbers, sorted, 'each number is higher than all before it')
    assert.ok(numbers.every(Number.isSafeInteger), 'numbers are safe integers')
  },

  'fencing numbers do not repeat if the backend loses its last writes': async (fixture) => {
    const prefix = fixture.newKey('p:')
    const key = `${prefix}~fence:restored`
    const [a, b] = await newProcessCaches(fixture, { prefix })
    const { store } = fixture
    const draw = (cache: Cache) => cache.lock('restored', long).run(({ fence }) => fence())
    const used = [await draw(a)]
    const earlier = await store.get(key)
    used.push(await draw(a), await draw(a))
    if (earlier === undefined) assert.fail('the counter is an item of the backend')
    // As after a failover to a replica that lags behind, or a restart from a snapshot.
    await store.set(key, earlier)
    const { ttlStep, timeError = ttlStep } = store.limits
    await fixture.wait(fixture.exact ? 10_000 : 2 * timeError + 50)
    for (const cache of [b, a]) used.push(await draw(cache))
    const sorted = [...new Set(used)].sort((x, y) => x - y)
    assert.deepEqual(used, sorted, 'each number is higher than all before it')
  },

  'the signal of a holder aborts when its lock is lost': async (fixture) => {
    const prefix = fixture.newKey('p:')
    const [a, b] = await newProcessCaches(fixture, { prefix })
    const next = b.lock('lost', long)
    await a.lock('lost', { ttl: '30s' }).run(async ({ fence, signal }) => {
      await fence()
      await deleteReserved(fixture, prefix, 'lock:lost')
      assert.equal(await next.acquire(), true, 'a lock that was lost is free')
      await assertCacheError('ERR_CACHE_LOCKED', fence, 'no number for a lock that is lost')
      assert.equal(signal.aborted, true, 'the signal aborts')
    })
    assert.equal(await next.isOwned(), true, 'the end of the work does not release the next holder')
  },

  'a lock outlives clear()': async (fixture) => {
    const options = { prefix: fixture.newKey('p:') }
    const [a, b] = await newProcessCaches(fixture, options)
    const inner = a.namespace('inner')
    const held = [a.lock('kept', long), inner.lock('kept', long)] as const
    for (const lock of held) await lock.acquire()
    await a.set('key', 'value')
    await inner.clear()
    await Promise.all([a.clear(), b.clear()])
    for (const lock of held) assert.equal(await lock.isOwned(), true, 'clear() keeps locks')
    assert.equal(await b.lock('kept').acquire(), false, 'a lock is held after clear()')
    if (fixture.store.scan !== undefined) {
      const keys = await collectKeys(fixture.store.scan(options.prefix))
      assert.ok(
        keys.some((key) => key.includes('~lock:')),
        'the lock is an item of the backend',
      )
      for await (const key of a.keys()) assert.fail(`keys() does not list locks: ${key}`)
    }
    for (const lock of held) assert.equal(await lock.release(), true, 'it is released')
  },

  'the locks of namespaces and of keys are separate': async (fixture) => {
    const [a] = await newProcessCaches(fixture, { prefix: fixture.newKey('p:') })
    const inner = a.namespace('n')
    const all = [a.lock('x'), a.lock('n:x'), inner.lock('x'), a.lock('~x'), a.lock('%7Ex')]
    for (const lock of all) assert.equal(await lock.acquire(), true, 'each name is a lock')
    await a.set('x', 1)
    await a.delete('x')
    for (const lock of all) assert.equal(await lock.release(), true, 'each lock is held')
  },
})

/** Deletes a reserved item, as an eviction does. */
async function deleteReserved({ store }: Fixture, prefix: string, name: string): Promise<void> {
  assert.equal(await store.delete(`${prefix}~${name}`), true, `~${name} is an item`)
}

/** Whether `run` holds a lock for longer than its ttl. */
async function isRenewed(fixture: Fixture, ttl: number): Promise<boolean> {
  const [a, b] = await newProcessCaches(fixture)
  const name = fixture.newKey()
  const isHeld = await a.lock(name, { ttl }).run(async ({ signal }) => {
    for (let rounds = 0; rounds < 2; rounds++) {
      await sleep(ttl / 2)
      // Without a renewal, the lock would expire in the second round.
      if (fixture.exact) await fixture.wait(fixture.roundedTtl(ttl) - 1)
      if (signal.aborted || !(await b.lock(name).isLocked())) return false
    }
    return true
  })
  if (isHeld) assert.equal(await b.lock(name).acquire(), true, 'run releases the lock')
  return isHeld
}
