import assert from 'node:assert/strict'
import type { Cache, Ttl } from '@stowage/core'
import { type ConformanceCase, group } from './case.ts'
import { failsWithTypeError } from './expect.ts'
import { day, minute } from './subject.ts'

const over: readonly Ttl[] = [0, -1, -0.5, -Infinity, '0s', '-1m', new Date(0)]
const lasting: readonly Ttl[] = ['10m', '1.5h', '31d', '52w', 31 * day, 3_650 * day, minute + 0.5]
const endless: readonly Ttl[] = [null, Infinity, Number.MAX_VALUE, Number.MAX_SAFE_INTEGER]
const wrong = [NaN, 'soon', '', '10', '10 minutes', 'NaN', new Date(NaN), {}, true, [5]] as Ttl[]

/** Every way to give a value a ttl through a cache. */
const writes: Readonly<Record<string, (cached: Cache, key: string, ttl: Ttl) => Promise<unknown>>> =
  {
    set: (cached, key, ttl) => cached.set(key, 1, { ttl }),
    setMany: (cached, key, ttl) => cached.setMany([[key, 1]], { ttl }),
    add: (cached, key, ttl) => cached.add(key, 1, { ttl }),
    replace: async (cached, key, ttl) => {
      await cached.set(key, 0)
      return cached.replace(key, 1, { ttl })
    },
    update: (cached, key, ttl) => cached.update(key, () => 1, { ttl }),
    increment: (cached, key, ttl) => cached.increment(key, 1, { ttl }),
    remember: (cached, key, ttl) => cached.remember(key, { ttl }, () => 1),
    touch: async (cached, key, ttl) => {
      await cached.set(key, 1)
      return cached.touch(key, { ttl })
    },
  }
const everyWrite = Object.entries(writes)

export const ttl: readonly ConformanceCase[] = group('ttl', {
  'a ttl is in milliseconds, or has a unit': async (subject) => {
    const { cache, key, expires, shortTtl } = subject
    for (const [name, write] of everyWrite) {
      for (const ttl of [shortTtl, `${shortTtl}ms` as const]) {
        const mine = key()
        await write(cache(), mine, ttl)
        await expires(mine, shortTtl, `${name} with a ttl of ${ttl}`)
      }
    }
  },

  'the shortest ttl is 1 ms; a fraction is rounded up': async ({ cache, key, expires }) => {
    for (const ttl of [1, 0.5, 0.001, '0.5ms'] as const) {
      const mine = key()
      await cache().set(mine, 1, { ttl })
      await expires(mine, 1, `a ttl of ${ttl}`)
    }
  },

  'a long ttl is a span, however it is given': async (subject) => {
    const { cache, key, lives } = subject
    const dates = [new Date(Date.now() + 10 * minute), new Date(Date.now() + 31 * day)]
    for (const [name, write] of everyWrite) {
      for (const ttl of [...lasting, ...dates]) {
        const mine = key()
        await write(cache(), mine, ttl)
        assert.ok(await lives(mine), `${name} with a ttl of ${String(ttl)} is there`)
      }
    }
  },

  'units mean what they say': async ({ cache, key, exact, expires }) => {
    if (!exact) return
    const units = {
      '500ms': 500,
      '90s': 90_000,
      '10m': 600_000,
      '1.5h': 5_400_000,
      '31d': 31 * day,
    } as const
    for (const [ttl, ms] of Object.entries(units)) {
      const mine = key()
      await cache().set(mine, 1, { ttl: ttl as keyof typeof units })
      await expires(mine, ms, `a ttl of ${ttl}`)
    }
  },

  'a Date is when it ends': async ({ cache, key, lives, exact, wait, lifespan, untilGone }) => {
    const [soon, later] = [key(), key()]
    await cache().set(soon, 1, { ttl: new Date(Date.now() + 200) })
    await cache().set(later, 1, { ttl: new Date(Date.now() + 10 * minute) })
    await untilGone(soon, 'a Date as ttl')
    assert.ok(await lives(later), 'a Date in ten minutes is not over yet')
    if (exact) await wait(lifespan(10 * minute))
    if (exact) assert.ok(!(await lives(later)), 'a Date that has come is over')
  },

  'null and Infinity never expire': async ({ cache, key, lives, exact, wait }) => {
    const cached = cache({ ttl: '1m' })
    const kept: [string, string][] = []
    for (const [name, write] of everyWrite) {
      for (const ttl of endless) {
        const mine = key()
        await write(cached, mine, ttl)
        kept.push([mine, `${name} with a ttl of ${String(ttl)} does not expire`])
      }
    }
    if (exact) await wait(10_000 * day)
    for (const [mine, rule] of kept) assert.ok(await lives(mine), rule)
  },

  'a ttl that is over deletes': async ({ cache, key }) => {
    const cached = cache()
    for (const ttl of over) {
      const [set, many, replaced, updated, touched] = [key(), key(), key(), key(), key()]
      const all = [set, many, replaced, updated, touched]
      await cached.setMany(all.map((each) => [each, 'old'] as const))
      await cached.set(set, 1, { ttl })
      await cached.setMany([[many, 1]], { ttl })
      assert.equal(await cached.replace(replaced, 1, { ttl }), true, 'replace says what was there')
      await cached.update(updated, () => 1, { ttl })
      assert.equal(await cached.touch(touched, { ttl }), true, 'touch says what was there')
      const left = (await cached.getMany(all)).filter((value) => value !== undefined)
      assert.equal(left.length, 0, `a ttl of ${String(ttl)} deletes`)
    }
  },

  'a ttl that is over creates nothing': async (subject) => {
    const { cache, key, untilGone } = subject
    const cached = cache()
    for (const ttl of over) {
      const rule = `a ttl of ${String(ttl)} creates nothing`
      const mine = key()
      assert.equal(await cached.add(mine, 1, { ttl }), false, rule)
      assert.equal(await cached.touch(mine, { ttl }), false, rule)
      await cached.set(mine, 1, { ttl })
      await cached.update(mine, () => 1, { ttl })
      assert.equal(await cached.has(mine), false, rule)
      assert.equal(await cached.remember(mine, { ttl }, () => 'loaded'), 'loaded', 'a load answers')
      assert.equal(await cached.has(mine), false, rule)
    }
    const counter = key()
    assert.equal(await cached.increment(counter, 2, { ttl: 0 }), 2, 'increment returns the sum')
    await untilGone(counter, 'a counter whose time is over')
  },

  'what is no ttl is a TypeError and changes nothing': async ({ cache, key }) => {
    const cached = cache()
    const [mine, gone] = [key(), key()]
    await cached.set(mine, 'kept')
    for (const ttl of wrong) {
      const rule = `a ttl of ${String(ttl)}`
      await failsWithTypeError(() => cached.set(mine, 1, { ttl }), rule)
      await failsWithTypeError(() => cached.setMany([[mine, 1]], { ttl }), rule)
      await failsWithTypeError(() => cached.add(gone, 1, { ttl }), rule)
      await failsWithTypeError(() => cached.replace(mine, 1, { ttl }), rule)
      await failsWithTypeError(() => cached.update(mine, () => 1, { ttl }), rule)
      await failsWithTypeError(() => cached.touch(mine, { ttl }), rule)
      await failsWithTypeError(() => cached.increment(gone, 1, { ttl }), rule)
      await failsWithTypeError(() => cached.remember(gone, { ttl }, () => 1), rule)
      assert.deepEqual(
        await cached.getMany([mine, gone]),
        ['kept', undefined],
        `${rule} changes nothing`,
      )
    }
  },

  "without a ttl the cache's own applies": async (subject) => {
    const { cache, key, expires, shortTtl } = subject
    const cached = cache({ ttl: shortTtl })
    for (const [name, write] of everyWrite) {
      const mine = key()
      await write(cached, mine, undefined as unknown as Ttl)
      await expires(mine, shortTtl, `${name} with the ttl of the cache`)
    }
  },

  "a ttl of a call beats the cache's own": async ({ cache, inTime, outlast, lives }) => {
    for (const ttl of [null, 1_000 * minute]) {
      const mine = await inTime(async (key, short) => {
        await cache({ ttl: short }).set(key, 1, { ttl })
      })
      await outlast(mine.ttl)
      assert.ok(await lives(mine.key), `a ttl of ${ttl} in the call beats the ttl of the cache`)
    }
  },

  'a set without ttl clears an earlier one': async ({ cache, inTime, outlast, read }) => {
    const { key, ttl } = await inTime(async (mine, short) => {
      await cache().set(mine, 1, { ttl: short })
      await cache().set(mine, 2)
    })
    await outlast(ttl)
    assert.equal(await read(key), '2', 'a set without ttl clears an earlier one')
  },
})
