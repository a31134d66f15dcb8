import assert from 'node:assert/strict'
import { collectKeys } from '../support/assertions.ts'
import { type ConformanceCase, group } from '../support/case.ts'
import { type Fixture, minute } from '../support/fixture.ts'

/** Keys of items that have just expired and were not read since. */
async function expiredKeys(fixture: Fixture, count = 1): Promise<string[]> {
  const { store, newKeys, item, shortTtl, letExpire } = fixture
  const keys = newKeys(count)
  for (const key of keys) await store.set(key, item('old'), shortTtl)
  await letExpire(shortTtl)
  return keys
}

export const expiry: readonly ConformanceCase[] = group('expiry', {
  'a write without a ttl removes the earlier ttl': async (fixture) => {
    const { store, item, withinTtl, letExpire, read } = fixture
    const next = item('next')
    const rewrites: Record<string, (key: string, old: unknown) => Promise<unknown>> = {
      set: async (key) => store.set(key, next),
      setMany: async (key) => store.setMany([[key, next]]),
      compareAndSet: async (key, old) => store.compareAndSet(key, old, next),
    }
    for (const [name, rewrite] of Object.entries(rewrites)) {
      const { key, ttl } = await withinTtl(async (key, ttl) => {
        const old = item('old')
        await store.set(key, old, ttl)
        await rewrite(key, old)
      })
      await letExpire(ttl)
      assert.equal(await read(key), 'next', `${name} without a ttl removes the earlier ttl`)
    }
  },

  'set with a ttl replaces the earlier ttl': async (fixture) => {
    const { store, item, withinTtl, letExpire, read, newKey, shortTtl, assertExpires } = fixture
    const longer = await withinTtl(async (key, ttl) => {
      await store.set(key, item('old'), ttl)
      await store.set(key, item('new'), 1_000 * minute)
    })
    await letExpire(longer.ttl)
    assert.equal(await read(longer.key), 'new', 'a set with a longer ttl applies that ttl')
    const shorter = newKey()
    await store.set(shorter, item('old'), 1_000 * minute)
    await store.set(shorter, item('new'), shortTtl)
    await assertExpires(shorter, shortTtl, 'a set with a shorter ttl applies that ttl')
  },

  'touch moves the expiry, later and earlier': async (fixture) => {
    const { store, item, withinTtl, letExpire, read, newKey, shortTtl, assertExpires } = fixture
    const later = await withinTtl(async (key, ttl) => {
      await store.set(key, item('kept'), ttl)
      const touched = await store.touch(key, 1_000 * minute)
      assert.equal(touched, true, 'touch of an existing item returns true')
    })
    await letExpire(later.ttl)
    assert.equal(await read(later.key), 'kept', 'touch with a longer ttl extends the expiry')
    const earlier = newKey()
    await store.set(earlier, item('kept'), 1_000 * minute)
    const touched = await store.touch(earlier, shortTtl)
    assert.equal(touched, true, 'touch of an existing item returns true')
    await assertExpires(earlier, shortTtl, 'the ttl of touch is relative to the call')
  },

  'touch without a ttl removes the expiry': async ({ store, item, withinTtl, letExpire, read }) => {
    const { key, ttl } = await withinTtl(async (key, ttl) => {
      await store.set(key, item('kept'), ttl)
      assert.equal(await store.touch(key), true, 'touch of an existing item returns true')
    })
    await letExpire(ttl)
    assert.equal(await read(key), 'kept', 'touch without a ttl removes the expiry')
  },

  'touch does not change the item': async ({ store, newKey, item, sameItem }) => {
    const key = newKey()
    const before = item('caf\u00e9 \u0000 \u{1f600}')
    await store.set(key, before)
    for (const ttl of [minute, undefined]) {
      assert.equal(await store.touch(key, ttl), true, 'touch of an existing item returns true')
      assert.ok(sameItem(await store.get(key), before), 'touch changes the expiry only')
    }
  },

  'touch never creates an item': async ({ store, newKey, item, exists }) => {
    const key = newKey()
    for (const ttl of [minute, undefined]) {
      assert.equal(await store.touch(key, ttl), false, 'touch of a missing key returns false')
      assert.equal(await exists(key), false, 'touch of a missing key stores nothing')
    }
    await store.set(key, item('x'))
    await store.delete(key)
    assert.equal(await store.touch(key, minute), false, 'touch of a deleted key returns false')
    assert.equal(await exists(key), false, 'touch does not restore a deleted item')
  },

  'get and getMany do not return expired items': async (fixture) => {
    const [one, two] = (await expiredKeys(fixture, 2)) as [string, string]
    assert.equal(await fixture.store.get(one), undefined, 'get of an expired item is a miss')
    assert.deepEqual(
      [...(await fixture.store.getMany([two, one]))],
      [undefined, undefined],
      'getMany of expired items returns misses',
    )
  },

  'add replaces an expired item': async (fixture) => {
    const [key] = (await expiredKeys(fixture)) as [string]
    const added = await fixture.store.add(key, fixture.item('new'))
    assert.equal(added, true, 'add returns true for an expired item')
    assert.equal(await fixture.read(key), 'new', 'add replaces an expired item')
  },

  'compareAndSet does not match an expired item': async (fixture) => {
    const { store, newKey, item, shortTtl, letExpire, exists } = fixture
    const old = item('old')
    for (const next of [item('new'), undefined]) {
      const key = newKey()
      await store.set(key, old, shortTtl)
      await letExpire(shortTtl)
      const replaced = await store.compareAndSet(key, old, next)
      assert.equal(replaced, false, 'compareAndSet of an expired item returns false')
      assert.equal(await exists(key), false, 'compareAndSet does not restore an expired item')
    }
  },

  'increment of an expired counter creates a new one with a ttl': async (fixture) => {
    const { store, newKey, shortTtl, letExpire, assertExpires } = fixture
    const key = newKey()
    await store.increment(key, 5, shortTtl)
    await letExpire(shortTtl)
    const sum = await store.increment(key, 1, shortTtl)
    assert.equal(sum, 1, 'an expired counter starts at 0')
    await assertExpires(key, shortTtl, 'the new counter expires after the ttl')
  },

  'touch does not restore an expired item': async (fixture) => {
    const [one, two] = (await expiredKeys(fixture, 2)) as [string, string]
    const { store, exists } = fixture
    assert.equal(await store.touch(one, minute), false, 'touch of an expired item returns false')
    assert.equal(await store.touch(two), false, 'touch of an expired item returns false')
    assert.equal(await exists(one), false, 'touch with a ttl does not restore an expired item')
    assert.equal(await exists(two), false, 'touch without a ttl does not restore an expired item')
  },

  'delete and deleteMany do not count expired items': async (fixture) => {
    const [one, two, three] = (await expiredKeys(fixture, 3)) as [string, string, string]
    const { store, newKey, item } = fixture
    assert.equal(await store.delete(one), false, 'delete of an expired item returns false')
    const existing = newKey()
    await store.set(existing, item('x'))
    const count = await store.deleteMany([two, existing, three])
    assert.equal(count, 1, 'deleteMany does not count expired items')
  },

  'scan does not list expired items': async (fixture) => {
    const { store, newKey, item } = fixture
    if (store.scan === undefined) return
    const expired = await expiredKeys(fixture, 3)
    const existing = newKey()
    await store.set(existing, item('x'), minute)
    const found = await collectKeys(store.scan(fixture.prefix))
    for (const key of expired) assert.ok(!found.includes(key), 'scan does not list expired items')
    assert.ok(found.includes(existing), 'scan lists items whose ttl has not passed')
  },
})
