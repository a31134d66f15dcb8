import assert from 'node:assert/strict'
import { type ConformanceCase, group } from './case.ts'
import { together } from './expect.ts'

/** A loader that counts its runs. */
function counting<T>(load: (run: number) => T | Promise<T>) {
  const loader = Object.assign(async () => load(++loader.runs), { runs: 0 })
  return loader
}

export const remember: readonly ConformanceCase[] = group('remember', {
  'remember loads on a miss and stores': async ({ cache, key }) => {
    const cached = cache()
    const mine = key()
    const load = counting((run) => ({ run }))
    assert.deepEqual(await cached.remember(mine, {}, load), { run: 1 }, 'a miss is loaded')
    assert.deepEqual(await cached.remember(mine, {}, load), { run: 1 }, 'a hit is not')
    assert.deepEqual(await cached.get(mine), { run: 1 }, 'what was loaded is stored')
    await cached.delete(mine)
    assert.deepEqual(
      await cached.remember(mine, {}, load),
      { run: 2 },
      'what is gone is loaded anew',
    )
  },

  'of 100 who remember at once one loads': async ({ cache, key }) => {
    const cached = cache()
    const mine = key()
    const load = counting(async (run) => {
      await new Promise((resolve) => setTimeout(resolve, 5))
      return run
    })
    const values = await together(100, () => cached.remember(mine, {}, load))
    assert.equal(load.runs, 1, 'a load under way is shared')
    assert.deepEqual(new Set(values), new Set([1]), 'all get what was loaded')
  },

  'different keys load apart': async ({ cache, keys }) => {
    const cached = cache()
    const mine = keys(20)
    const loaded = await Promise.all(mine.map((key) => cached.remember(key, {}, async () => key)))
    assert.deepEqual(loaded, mine, 'a load belongs to its key')
  },

  'null and falsy values are remembered': async ({ cache, key }) => {
    const cached = cache()
    for (const value of [null, 0, '', false]) {
      const mine = key()
      const load = counting(() => value)
      assert.equal(await cached.remember(mine, {}, load), value, 'the loaded value is returned')
      assert.equal(await cached.remember(mine, {}, load), value, 'and remembered')
      assert.equal(load.runs, 1, `${JSON.stringify(value)} is a value and is remembered`)
    }
  },

  'undefined is returned and not stored': async ({ cache, key, lives }) => {
    const cached = cache()
    const mine = key()
    const load = counting(() => undefined)
    assert.equal(await cached.remember(mine, {}, load), undefined, 'undefined is returned')
    assert.equal(await lives(mine), false, 'undefined is not stored')
    await cached.remember(mine, {}, load)
    assert.equal(load.runs, 2, 'undefined is asked for again')
  },

  'a failure is shared, and not stored': async ({ cache, key, lives }) => {
    const cached = cache()
    const mine = key()
    const failure = new Error('the database is down')
    const load = counting(async (run) => {
      await new Promise((resolve) => setTimeout(resolve, 5))
      if (run === 1) throw failure
      return 'well again'
    })
    const asked = Array.from({ length: 10 }, () => cached.remember(mine, {}, load))
    for (const outcome of await Promise.allSettled(asked)) {
      assert.equal(outcome.status, 'rejected', 'all who waited share the failure')
      assert.equal(
        (outcome as PromiseRejectedResult).reason,
        failure,
        'the failure is passed on as it is',
      )
    }
    assert.equal(load.runs, 1, 'the failing load ran once')
    assert.equal(await lives(mine), false, 'a failure is not stored')
    assert.equal(await cached.remember(mine, {}, load), 'well again', 'the next call loads again')
  },

  'a loader that throws at once is a rejection': async ({ cache, key }) => {
    const cached = cache()
    const mine = key()
    const load = () => {
      throw new Error('at once')
    }
    await assert.rejects(cached.remember(mine, {}, load), /at once/, 'a throw is a rejection')
    assert.equal(await cached.remember(mine, {}, () => 1), 1, 'the next call loads')
  },

  'what was loaded lives for its ttl': async ({ cache, key, shortTtl, expires }) => {
    const mine = key()
    await cache().remember(mine, { ttl: shortTtl }, () => 'loaded')
    await expires(mine, shortTtl, 'what was loaded lives for the ttl of remember')
  },

  'what has expired is loaded anew': async ({ cache, key, shortTtl, outlast }) => {
    const cached = cache()
    const mine = key()
    const load = counting((run) => run)
    await cached.remember(mine, { ttl: shortTtl }, load)
    await outlast(shortTtl)
    assert.equal(await cached.remember(mine, { ttl: '1m' }, load), 2, 'the expired is loaded anew')
    assert.equal(await cached.remember(mine, { ttl: '1m' }, load), 2, 'and lives again')
  },

  'remember in a namespace and in its parent are two': async ({ cache, key }) => {
    const root = cache({ prefix: key('p:') })
    assert.equal(await root.remember('a', {}, () => 'root'), 'root', 'a load belongs to its cache')
    const inner = await root.namespace('n').remember('a', {}, () => 'inner')
    assert.equal(inner, 'inner', 'a load belongs to its namespace')
  },
})
