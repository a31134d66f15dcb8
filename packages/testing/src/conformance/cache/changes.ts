import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cache, ChangeOptions } from '@stowage/core'
import { type ConformanceCase, group } from '../support/case.ts'
import type { Fixture } from '../support/fixture.ts'
import {
  holdLease,
  holdRefresh,
  newProcessCaches,
  newProcesses,
  newStoppableProcess,
  patience,
  strong,
} from '../support/processes.ts'

/** How long the marks of a process that stops stand, in milliseconds. The process renews them each third of that time. */
const shortMs = 60
/** Values are stored after it by the time of a backend that tells it to two seconds only. */
const maxLoads = 60
const windows = { ttl: '1h', staleWhileRevalidate: '1h', staleIfError: '1h' } as const

/** A change that does not end by itself. */
interface HeldChange {
  /** Ends the work. Resolves when the marks are removed. */
  end(error?: Error): Promise<void>
}

/** Begins a change. Resolves when its work begins. */
async function holdChange(cache: Cache, options: ChangeOptions): Promise<HeldChange> {
  let begin = () => {}
  let end: (error?: Error) => void = () => {}
  const begun = new Promise<void>((resolve) => {
    begin = resolve
  })
  const ended = new Promise<void>((resolve, reject) => {
    end = (error) => (error === undefined ? resolve() : reject(error))
  })
  const change = cache.changing(options, () => {
    begin()
    return ended
  })
  change.catch(() => {}) // A case that fails leaves it behind.
  await Promise.race([begun, change])
  return {
    end: (error) => {
      end(error)
      return change
    },
  }
}

/** Both forms of a change of the key `k`, whose value has the tag `t`. */
const both = { 'a key': { keys: ['k'] }, 'a tag': { tags: ['t'] } } as const
const tagged = { tags: ['t'] }

export const changes: readonly ConformanceCase[] = group('changes', {
  'while a key or a tag is changed, every read is a miss': async (fixture) => {
    for (const [kind, what] of Object.entries(both)) {
      const [a, b] = await newProcessCaches(fixture, { prefix: fixture.newKey('p:') })
      await b.set('k', 'old', tagged)
      const change = await holdChange(a, what)
      for (const cache of [a, b]) {
        assert.equal(await cache.get('k', strong), undefined, `get while ${kind} is changed`)
        assert.deepEqual(await cache.getMany(['k'], strong), [undefined], `getMany: ${kind}`)
        assert.equal(await cache.has('k', strong), false, `has while ${kind} is changed`)
        assert.equal((await cache.snapshot('k')).value, undefined, `snapshot: ${kind}`)
        assert.equal(await cache.replace('k', 'x'), false, `replace while ${kind} is changed`)
        assert.equal(await cache.expire('k'), false, `expire while ${kind} is changed`)
        assert.equal(await cache.pull('k'), undefined, `pull while ${kind} is changed`)
      }
      await change.end()
      assert.equal(await b.get('k', strong), undefined, `the old value of ${kind} is a miss`)
    }
  },

  'while a key or a tag is changed, loaded values are returned and not stored': async (fixture) => {
    for (const [kind, what] of Object.entries(both)) {
      const [a, b] = await newProcessCaches(fixture, { prefix: fixture.newKey('p:') })
      const change = await holdChange(a, what)
      for (const cache of [a, b]) {
        const options = { ...patience, ...tagged }
        assert.equal(await cache.remember('k', options, () => 'old'), 'old', `remember: ${kind}`)
        const many = await cache.rememberMany(['k'], options, () => ['old'])
        assert.deepEqual(many, ['old'], `rememberMany while ${kind} is changed`)
        assert.equal(await cache.get('k', strong), undefined, `${kind}: nothing is stored`)
      }
      await change.end()
      await a.remember('k', tagged, () => 'new')
      assert.equal(await b.get('k', strong), 'new', `after the change of ${kind} it is stored`)
    }
  },

  'a load that began before is not stored, whether it ends before the change or after it': async (
    fixture,
  ) => {
    for (const [kind, what] of Object.entries(both)) {
      for (const endsLate of [false, true]) {
        const [a, b] = await newProcessCaches(fixture, { prefix: fixture.newKey('p:') })
        const load = await holdLease(b, 'k', tagged)
        const change = await holdChange(a, what)
        if (endsLate) await change.end()
        assert.equal(await load.end('old'), 'old', 'the caller receives the loaded value')
        if (!endsLate) await change.end()
        assert.equal(await a.get('k', strong), undefined, `${kind}: an old load is not stored`)
      }
    }
  },

  'stale values are not returned, and their refreshes are not stored': async (fixture) => {
    for (const [kind, what] of Object.entries(both)) {
      const [a, b] = await newProcesses(fixture, { prefix: fixture.newKey('p:') })
      const options = { ...windows, ...tagged }
      await a.cache.remember('k', options, () => 'old')
      await a.cache.expire('k')
      const refresh = await holdRefresh(a, 'k', options)
      const change = await holdChange(b.cache, what)
      // A replica that lags may still have the stale value without its mark.
      a.cache.observe(await b.cache.consistencyToken())
      for (const { cache } of [a, b]) {
        // A call may join the refresh, whose value it must not receive: it asks again.
        const value = cache.remember('k', { ...patience, ...options }, () => 'new')
        if (cache === a.cache) await refresh.end('outdated')
        assert.equal(await value, 'new', `${kind}: the stale value is not returned`)
      }
      await change.end()
      assert.equal(await b.cache.get('k', strong), undefined, `${kind}: nothing old is stored`)
    }
  },

  'add and the replacement of a snapshot are refused while a key is changed': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture)
    const key = fixture.newKey()
    const missing = await b.snapshot(key)
    const change = await holdChange(a, { keys: [key] })
    assert.equal(await b.add(key, 'old'), false, 'add does not replace a mark')
    assert.equal(await missing.replace('old'), false, 'nor does the snapshot of a miss')
    const marked = await b.snapshot(key)
    assert.equal(await marked.replace('old'), false, 'nor does a snapshot of the mark')
    await change.end()
    assert.equal(await marked.replace('old'), false, 'also after the change')
    assert.equal(await b.add(key, 'new'), true, 'add stores a value after the change')
  },

  'of overlapping changes, the last one ends the mark': async (fixture) => {
    for (const [kind, what] of Object.entries(both)) {
      for (const firstEndsFirst of [true, false]) {
        const [a, b] = await newProcessCaches(fixture, { prefix: fixture.newKey('p:') })
        const [first, second] = [await holdChange(a, what), await holdChange(b, what)]
        await (firstEndsFirst ? first : second).end()
        for (const cache of [a, b]) {
          await cache.remember('k', { ...patience, ...tagged }, () => 'old')
          assert.equal(await cache.get('k', strong), undefined, `${kind} is still changed`)
        }
        await (firstEndsFirst ? second : first).end()
        // The process of the last change: for the other one, a replica that lags may still have the mark.
        const [last, other] = firstEndsFirst ? [b, a] : [a, b]
        await last.remember('k', tagged, () => 'new')
        assert.equal(await other.get('k', strong), 'new', `the change of ${kind} has ended`)
      }
    }
  },

  'a change that fails ends its marks, and old values are misses': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture, { prefix: fixture.newKey('p:') })
    await a.set('k', 'old')
    await a.set('other', 'old', tagged)
    const change = await holdChange(b, { keys: ['k'], tags: ['t'] })
    await assert.rejects(change.end(new Error('rolled back')), /rolled back/, 'its error')
    assert.deepEqual(await a.getMany(['k', 'other'], strong), [undefined, undefined], 'misses')
    await b.remember('k', {}, () => 'new')
    await b.remember('other', tagged, () => 'new')
    assert.deepEqual(await a.getMany(['k', 'other'], strong), ['new', 'new'], 'values are stored')
  },

  'the work can mark further keys and tags': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture, { prefix: fixture.newKey('p:') })
    const keys = Array.from({ length: 30 }, (_, index) => `k${index}`)
    const missing = keys.map(() => undefined)
    await b.setMany(keys.map((key) => [key, 'old'] as const))
    await a.changing(async (change) => {
      await change.mark({ keys, tags: ['t'] })
      assert.deepEqual(await b.getMany(keys, strong), missing, 'the keys are marked')
    })
    assert.deepEqual(await b.getMany(keys, strong), missing, 'the old values are misses')
    assert.equal(await fixture.countExisting(keys), 0, 'no mark is left behind')
  },

  'what is stored instead of a mark is deleted at the end': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture, { prefix: fixture.newKey('p:') })
    const change = await holdChange(a, { keys: ['set', 'cleared', 'loading'] })
    await b.clear()
    await b.set('set', 'old')
    await b.remember('cleared', patience, () => 'old')
    const load = await holdLease(b, 'loading')
    await change.end()
    await load.end('old')
    for (const key of ['set', 'cleared', 'loading']) {
      assert.equal(await b.get(key, strong), undefined, `${key}: it may be older than the change`)
    }
  },

  'the marks of a stopped process expire': async (fixture) => {
    for (const isOld of [false, true]) {
      const { cache, stop, resume } = newStoppableProcess(fixture)
      const [b] = await newProcessCaches(fixture)
      const [key, tag] = fixture.newKeys(2) as [string, string]
      if (isOld) await cache.set(key, 'old', { tags: [tag] })
      const what = { keys: [key], tags: [tag], for: shortMs }
      const change = await holdChange(cache, what)
      stop()
      await fixture.store.get(key, strong)
      await fixture.assertExpires(key, shortMs, isOld ? 'a mark over a value' : 'a mark')
      // That of a tag stands for at most twice as long. A process may not know the time of the backend exactly.
      await fixture.wait(fixture.roundedTtl(shortMs))
      for (let loads = 0; loads < maxLoads && (await b.get(key, strong)) !== 'new'; loads++) {
        await b.remember(key, { ...patience, tags: [tag] }, () => 'new')
        if (!fixture.exact) await fixture.wait(shortMs)
      }
      assert.equal(await b.get(key, strong), 'new', 'then values are stored')
      await change.end()
      resume()
    }
  },

  'touch does not prolong the mark of a stopped process for ever': async (fixture) => {
    const { exact, store } = fixture
    if (!exact) return
    const { cache, stop, resume } = newStoppableProcess(fixture)
    const [b] = await newProcessCaches(fixture)
    const [key, tag] = fixture.newKeys(2) as [string, string]
    const change = await holdChange(cache, { keys: [key], tags: [tag], for: shortMs })
    stop()
    assert.equal(await b.touch(key, { ttl: '1h' }), true, 'a mark is an item')
    assert.equal(await store.touch(`~tag:${tag}`, 3_600_000), true, 'that of a tag as well')
    await fixture.wait(2 * fixture.roundedTtl(shortMs) + 1_000)
    // The first one may find that the process does not know the time of the backend yet.
    for (let loads = 0; loads < 2; loads++) {
      await b.remember(key, { ...patience, tags: [tag] }, () => 'new')
    }
    assert.equal(await b.get(key, strong), 'new', 'the change is over')
    await change.end()
    resume()
  },

  'a mark that is renewed does not expire': async (fixture) => {
    const { exact, exists, roundedTtl, wait } = fixture
    if (!exact) return
    const { cache, stop, resume } = newStoppableProcess(fixture)
    const [b] = await newProcessCaches(fixture)
    const [key, tag] = fixture.newKeys(2) as [string, string]
    const change = await holdChange(cache, { keys: [key], tags: [tag], for: shortMs })
    for (let renewals = 0; renewals < 2; renewals++) {
      for (const each of [key, `~tag:${tag}`]) await untilRenewed(fixture, each)
      // Otherwise it could store a mark again that has expired.
      stop()
      await wait(roundedTtl(shortMs) - 1)
      for (const each of [key, `~tag:${tag}`]) assert.ok(await exists(each), 'it is extended')
      resume()
    }
    await change.end()
    await b.remember(key, { tags: [tag] }, () => 'new')
    assert.equal(await b.get(key, strong), 'new', 'the end of the change finds its mark')
  },
})

/** Waits until the process that holds the mark has renewed it, by its timer in real time. */
async function untilRenewed({ store, sameItem }: Fixture, key: string): Promise<void> {
  const before = await store.get(key, strong)
  if (before === undefined) return
  for (let turns = 0; sameItem(await store.get(key, strong), before); turns++) {
    assert.ok(turns < 3_000, 'a mark is renewed by a compareAndSet')
    await sleep(5)
  }
}
