import assert from 'node:assert/strict'
import { type ConformanceCase, group } from './case.ts'
import { listed } from './expect.ts'
import { type AnyStore, day, minute, type Subject } from './subject.ts'

/** Every way to give an item a ttl. */
type Write = (store: AnyStore, key: string, subject: Subject, ttl?: number) => Promise<unknown>

const writes: Readonly<Record<string, Write>> = {
  set: async (store, key, { item }, ttl) => store.set(key, item('1'), ttl),
  setMany: async (store, key, { item }, ttl) => store.setMany([[key, item('1')]], ttl),
  add: async (store, key, { item }, ttl) => store.add(key, item('1'), ttl),
  compareAndSet: async (store, key, { item }, ttl) => {
    const before = item('0')
    await store.set(key, before)
    return store.compareAndSet(key, before, item('1'), ttl)
  },
  increment: async (store, key, _subject, ttl) => store.increment(key, 1, ttl),
  touch: async (store, key, { item }, ttl) => {
    await store.set(key, item('1'))
    return store.touch(key, ttl)
  },
}

async function expiresAfter(write: Write, subject: Subject, ttl: number, rule: string) {
  const key = subject.key()
  await write(subject.store, key, subject, ttl)
  await subject.expires(key, ttl, rule)
}

/** A key whose item has just expired, and which nobody has looked at since. */
async function expired(subject: Subject, count = 1): Promise<string[]> {
  const { store, keys, item, shortTtl, outlast } = subject
  const made = keys(count)
  for (const key of made) await store.set(key, item('old'), shortTtl)
  await outlast(shortTtl)
  return made
}

const everyWrite = Object.entries(writes)
const ttlCases = everyWrite.map(([name, write]) => [
  `${name} with a ttl: there until it is over, gone then`,
  (subject: Subject) => expiresAfter(write, subject, subject.shortTtl, `${name} obeys its ttl`),
])

export const expiry: readonly ConformanceCase[] = group('expiry', {
  ...Object.fromEntries(ttlCases),

  'a ttl of 1 ms is a ttl': async (subject) => {
    for (const [name, write] of everyWrite) {
      await expiresAfter(write, subject, 1, `${name} with a ttl of 1 ms`)
    }
  },

  'a ttl is rounded up to the step, never down': async (subject) => {
    const { store, key, item, exact, expires } = subject
    if (!exact) return
    const { ttlStep } = store.limits
    for (const ttl of new Set([1, ttlStep, ttlStep + 1, 3 * ttlStep - 1])) {
      const mine = key()
      await store.set(mine, item('x'), ttl)
      await expires(mine, ttl, `a ttl of ${ttl} is rounded up to a multiple of ${ttlStep}`)
    }
  },

  'a ttl beyond 30 days is a span, not a date': async (subject) => {
    const { store, key, lives, exact, expires } = subject
    for (const [name, write] of everyWrite) {
      for (const ttl of [30 * day, 30 * day + 1_000, 31 * day, 3_650 * day]) {
        const mine = key()
        await write(store, mine, subject, ttl)
        const rule = `${name} with a ttl of ${ttl / day} days`
        assert.ok(await lives(mine), `${rule} is there`)
        if (exact) await expires(mine, ttl, rule)
      }
    }
  },

  'without a ttl an item never expires': async (subject) => {
    const { store, key, lives, exact, wait } = subject
    const kept: [string, string][] = []
    for (const [name, write] of everyWrite) {
      const mine = key()
      await write(store, mine, subject)
      kept.push([name, mine])
    }
    if (exact) await wait(10_000 * day)
    for (const [name, mine] of kept)
      assert.ok(await lives(mine), `${name} without a ttl is for ever`)
  },

  'a write without a ttl clears an earlier one': async (subject) => {
    const { store, item, inTime, outlast, read } = subject
    const next = item('next')
    const rewrites: Record<string, (key: string, old: unknown) => Promise<unknown>> = {
      set: async (key) => store.set(key, next),
      setMany: async (key) => store.setMany([[key, next]]),
      compareAndSet: async (key, old) => store.compareAndSet(key, old, next),
    }
    for (const [name, rewrite] of Object.entries(rewrites)) {
      const { key, ttl } = await inTime(async (mine, short) => {
        const old = item('old')
        await store.set(mine, old, short)
        await rewrite(mine, old)
      })
      await outlast(ttl)
      assert.equal(await read(key), 'next', `${name} without a ttl clears an earlier ttl`)
    }
  },

  'set with a ttl replaces an earlier one': async (subject) => {
    const { store, item, inTime, outlast, read, key, shortTtl, expires } = subject
    const longer = await inTime(async (mine, short) => {
      await store.set(mine, item('old'), short)
      await store.set(mine, item('new'), 1_000 * minute)
    })
    await outlast(longer.ttl)
    assert.equal(await read(longer.key), 'new', 'a new ttl may be longer')
    const shorter = key()
    await store.set(shorter, item('old'), 1_000 * minute)
    await store.set(shorter, item('new'), shortTtl)
    await expires(shorter, shortTtl, 'a new ttl may be shorter')
  },

  'touch moves the expiry, later and earlier': async (subject) => {
    const { store, item, inTime, outlast, read, key, shortTtl, expires } = subject
    const later = await inTime(async (mine, short) => {
      await store.set(mine, item('kept'), short)
      assert.equal(await store.touch(mine, 1_000 * minute), true, 'touch says that the item lives')
    })
    await outlast(later.ttl)
    assert.equal(await read(later.key), 'kept', 'touch prolongs, and keeps the item')
    const earlier = key()
    await store.set(earlier, item('kept'), 1_000 * minute)
    assert.equal(await store.touch(earlier, shortTtl), true, 'touch says that the item lives')
    await expires(earlier, shortTtl, 'touch counts the ttl from now')
  },

  'touch without a ttl removes the expiry': async ({ store, item, inTime, outlast, read }) => {
    const { key, ttl } = await inTime(async (mine, short) => {
      await store.set(mine, item('kept'), short)
      assert.equal(await store.touch(mine), true, 'touch says that the item lives')
    })
    await outlast(ttl)
    assert.equal(await read(key), 'kept', 'touch without a ttl removes the expiry')
  },

  'touch keeps the item': async ({ store, key, item, same }) => {
    const mine = key()
    const before = item('caf\u00e9 \u0000 \u{1f600}')
    await store.set(mine, before)
    for (const ttl of [minute, undefined]) {
      assert.equal(await store.touch(mine, ttl), true, 'touch says that the item lives')
      assert.ok(same(await store.get(mine), before), 'touch changes the expiry only')
    }
  },

  'touch never creates': async ({ store, key, item, lives }) => {
    const mine = key()
    for (const ttl of [minute, undefined]) {
      assert.equal(await store.touch(mine, ttl), false, 'touch of a missing key is false')
      assert.equal(await lives(mine), false, 'touch never creates')
    }
    await store.set(mine, item('x'))
    await store.delete(mine)
    assert.equal(await store.touch(mine, minute), false, 'touch does not bring back the deleted')
    assert.equal(await lives(mine), false, 'touch does not bring back the deleted')
  },

  'get and getMany: the expired is a miss': async (subject) => {
    const [one, two] = (await expired(subject, 2)) as [string, string]
    assert.equal(await subject.store.get(one), undefined, 'get: the expired is a miss')
    assert.deepEqual(
      [...(await subject.store.getMany([two, one]))],
      [undefined, undefined],
      'getMany: the expired is a miss',
    )
  },

  'add: the expired makes room': async (subject) => {
    const [mine] = (await expired(subject)) as [string]
    const added = await subject.store.add(mine, subject.item('new'))
    assert.equal(added, true, 'add stores where the item has expired')
    assert.equal(await subject.read(mine), 'new', 'add stores where the item has expired')
  },

  'compareAndSet: the expired is not what was expected': async (subject) => {
    const { store, key, item, shortTtl, outlast, lives } = subject
    const old = item('old')
    for (const next of [item('new'), undefined]) {
      const mine = key()
      await store.set(mine, old, shortTtl)
      await outlast(shortTtl)
      const swapped = await store.compareAndSet(mine, old, next)
      assert.equal(swapped, false, 'compareAndSet of an expired item is false')
      assert.equal(await lives(mine), false, 'compareAndSet does not bring back the expired')
    }
  },

  'increment: an expired counter starts anew, ttl included': async (subject) => {
    const { store, key, shortTtl, outlast, expires } = subject
    const mine = key()
    await store.increment(mine, 5, shortTtl)
    await outlast(shortTtl)
    const sum = await store.increment(mine, 1, shortTtl)
    assert.equal(sum, 1, 'an expired counter starts at 0')
    await expires(mine, shortTtl, 'a counter created anew gets the ttl')
  },

  'touch: the expired does not come back': async (subject) => {
    const [one, two] = (await expired(subject, 2)) as [string, string]
    assert.equal(await subject.store.touch(one, minute), false, 'touch of an expired item is false')
    assert.equal(await subject.store.touch(two), false, 'touch of an expired item is false')
    assert.equal(await subject.lives(one), false, 'touch does not bring back the expired')
    assert.equal(await subject.lives(two), false, 'touch does not bring back the expired')
  },

  'delete and deleteMany: the expired was not there': async (subject) => {
    const [one, two, three] = (await expired(subject, 3)) as [string, string, string]
    const { store } = subject
    assert.equal(await store.delete(one), false, 'delete of an expired item is false')
    const living = subject.key()
    await store.set(living, subject.item('x'))
    const count = await store.deleteMany([two, living, three])
    assert.equal(count, 1, 'deleteMany counts the living only')
  },

  'scan: the expired is not listed': async (subject) => {
    const { store, item } = subject
    if (store.scan === undefined) return
    const gone = await expired(subject, 3)
    const living = subject.key()
    await store.set(living, item('x'), minute)
    const found = await listed(store.scan(subject.prefix))
    for (const key of gone) assert.ok(!found.includes(key), 'scan does not list the expired')
    assert.ok(found.includes(living), 'scan lists the living')
  },
})
