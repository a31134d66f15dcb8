import assert from 'node:assert/strict'
import type { Cache, Ttl } from '@stowage/core'
import { assertTypeError } from '../support/assertions.ts'
import { type ConformanceCase, group } from '../support/case.ts'
import { day, minute } from '../support/fixture.ts'

const pastTtls: readonly Ttl[] = [0, -1, -0.5, -Infinity, '0s', '-1m', new Date(0)]
const longTtls: readonly Ttl[] = ['10m', '1.5h', '31d', '52w', 31 * day, 3_650 * day, minute + 0.5]
const endlessTtls: readonly Ttl[] = [null, Infinity, Number.MAX_VALUE, Number.MAX_SAFE_INTEGER]
const invalidTtls = [NaN, 'soon', '', '10', '10 minutes', 'NaN', new Date(NaN), {}, true, [5]]

/** Every method of a cache that takes a ttl. */
const writes: Readonly<Record<string, (cache: Cache, key: string, ttl: Ttl) => Promise<unknown>>> =
  {
    set: (cache, key, ttl) => cache.set(key, 1, { ttl }),
    setMany: (cache, key, ttl) => cache.setMany([[key, 1]], { ttl }),
    add: (cache, key, ttl) => cache.add(key, 1, { ttl }),
    replace: async (cache, key, ttl) => {
      await cache.set(key, 0)
      return cache.replace(key, 1, { ttl })
    },
    update: (cache, key, ttl) => cache.update(key, () => 1, { ttl }),
    increment: (cache, key, ttl) => cache.increment(key, 1, { ttl }),
    remember: (cache, key, ttl) => cache.remember(key, { ttl }, () => 1),
    touch: async (cache, key, ttl) => {
      await cache.set(key, 1)
      return cache.touch(key, { ttl })
    },
  }
const everyWrite = Object.entries(writes)

export const ttl: readonly ConformanceCase[] = group('ttl', {
  'a ttl is a number of milliseconds or has a unit': async (fixture) => {
    const { newCache, newKey, assertExpires, shortTtl } = fixture
    for (const [name, write] of everyWrite) {
      for (const ttl of [shortTtl, `${shortTtl}ms` as const]) {
        const key = newKey()
        await write(newCache(), key, ttl)
        await assertExpires(key, shortTtl, `${name} with a ttl of ${ttl}`)
      }
    }
  },

  'a ttl below 1 ms is rounded up to 1 ms': async ({ newCache, newKey, assertExpires }) => {
    for (const ttl of [1, 0.5, 0.001, '0.5ms'] as const) {
      const key = newKey()
      await newCache().set(key, 1, { ttl })
      await assertExpires(key, 1, `a ttl of ${ttl}`)
    }
  },

  'a long ttl is relative, whatever its notation': async ({ newCache, newKey, exists }) => {
    const dates = [new Date(Date.now() + 10 * minute), new Date(Date.now() + 31 * day)]
    for (const [name, write] of everyWrite) {
      for (const ttl of [...longTtls, ...dates]) {
        const key = newKey()
        await write(newCache(), key, ttl)
        assert.ok(await exists(key), `${name} with a ttl of ${String(ttl)}: the value exists`)
      }
    }
  },

  'each unit of a ttl has its duration': async ({ newCache, newKey, exact, assertExpires }) => {
    if (!exact) return
    const units = {
      '500ms': 500,
      '90s': 90_000,
      '10m': 600_000,
      '1.5h': 5_400_000,
      '31d': 31 * day,
    } as const
    for (const [ttl, ms] of Object.entries(units)) {
      const key = newKey()
      await newCache().set(key, 1, { ttl: ttl as keyof typeof units })
      await assertExpires(key, ms, `a ttl of ${ttl}`)
    }
  },

  'a Date as ttl is the time of expiry': async (fixture) => {
    const { newCache, newKey, exists, exact, wait, roundedTtl, waitUntilMissing } = fixture
    const [soon, later] = [newKey(), newKey()]
    await newCache().set(soon, 1, { ttl: new Date(Date.now() + 200) })
    await newCache().set(later, 1, { ttl: new Date(Date.now() + 10 * minute) })
    await waitUntilMissing(soon, 'a Date as ttl')
    assert.ok(await exists(later), 'the value exists before the Date')
    if (exact) await wait(roundedTtl(10 * minute))
    if (exact) assert.ok(!(await exists(later)), 'the value has expired after the Date')
  },

  'a ttl of null or Infinity never expires': async (fixture) => {
    const { newCache, newKey, exists, exact, wait } = fixture
    const cache = newCache({ ttl: '1m' })
    const written: [string, string][] = []
    for (const [name, write] of everyWrite) {
      for (const ttl of endlessTtls) {
        const key = newKey()
        await write(cache, key, ttl)
        written.push([key, `${name} with a ttl of ${String(ttl)} does not expire`])
      }
    }
    if (exact) await wait(10_000 * day)
    for (const [key, rule] of written) assert.ok(await exists(key), rule)
  },

  'a ttl in the past deletes the value': async ({ newCache, newKey }) => {
    const cache = newCache()
    for (const ttl of pastTtls) {
      const [set, many, replaced, updated, touched] = [
        newKey(),
        newKey(),
        newKey(),
        newKey(),
        newKey(),
      ]
      const keys = [set, many, replaced, updated, touched]
      await cache.setMany(keys.map((key) => [key, 'old'] as const))
      await cache.set(set, 1, { ttl })
      await cache.setMany([[many, 1]], { ttl })
      const wasReplaced = await cache.replace(replaced, 1, { ttl })
      assert.equal(wasReplaced, true, 'replace of an existing value returns true')
      await cache.update(updated, () => 1, { ttl })
      const wasTouched = await cache.touch(touched, { ttl })
      assert.equal(wasTouched, true, 'touch of an existing value returns true')
      const left = (await cache.getMany(keys)).filter((value) => value !== undefined)
      assert.equal(left.length, 0, `a ttl of ${String(ttl)} deletes`)
    }
  },

  'a ttl in the past creates nothing': async ({ newCache, newKey, waitUntilMissing }) => {
    const cache = newCache()
    for (const ttl of pastTtls) {
      const rule = `a ttl of ${String(ttl)} creates nothing`
      const key = newKey()
      assert.equal(await cache.add(key, 1, { ttl }), false, rule)
      assert.equal(await cache.touch(key, { ttl }), false, rule)
      await cache.set(key, 1, { ttl })
      await cache.update(key, () => 1, { ttl })
      assert.equal(await cache.has(key), false, rule)
      const loaded = await cache.remember(key, { ttl }, () => 'loaded')
      assert.equal(loaded, 'loaded', 'remember returns the loaded value')
      assert.equal(await cache.has(key), false, rule)
    }
    const counter = newKey()
    assert.equal(await cache.increment(counter, 2, { ttl: 0 }), 2, 'increment returns the sum')
    await waitUntilMissing(counter, 'a counter with a ttl of 0 expires')
  },

  'an invalid ttl is a TypeError and changes nothing': async ({ newCache, newKey }) => {
    const cache = newCache()
    const [existing, missing] = [newKey(), newKey()]
    await cache.set(existing, 'kept')
    for (const ttl of invalidTtls as Ttl[]) {
      const rule = `a ttl of ${String(ttl)} is rejected`
      await assertTypeError(() => cache.set(existing, 1, { ttl }), rule)
      await assertTypeError(() => cache.setMany([[existing, 1]], { ttl }), rule)
      await assertTypeError(() => cache.add(missing, 1, { ttl }), rule)
      await assertTypeError(() => cache.replace(existing, 1, { ttl }), rule)
      await assertTypeError(() => cache.update(existing, () => 1, { ttl }), rule)
      await assertTypeError(() => cache.touch(existing, { ttl }), rule)
      await assertTypeError(() => cache.increment(missing, 1, { ttl }), rule)
      await assertTypeError(() => cache.remember(missing, { ttl }, () => 1), rule)
      const found = await cache.getMany([existing, missing])
      assert.deepEqual(found, ['kept', undefined], `${rule} and changes nothing`)
    }
  },

  'the ttl of the cache is the default': async (fixture) => {
    const { newCache, newKey, assertExpires, shortTtl } = fixture
    const cache = newCache({ ttl: shortTtl })
    for (const [name, write] of everyWrite) {
      const key = newKey()
      await write(cache, key, undefined as unknown as Ttl)
      await assertExpires(key, shortTtl, `${name} with the ttl of the cache`)
    }
  },

  'the ttl of a call overrides the ttl of the cache': async (fixture) => {
    const { newCache, withinTtl, letExpire, exists } = fixture
    for (const ttl of [null, 1_000 * minute]) {
      const written = await withinTtl(async (key, short) => {
        await newCache({ ttl: short }).set(key, 1, { ttl })
      })
      await letExpire(written.ttl)
      assert.ok(await exists(written.key), `a ttl of ${ttl} overrides the ttl of the cache`)
    }
  },

  'set without a ttl removes the earlier ttl': async (fixture) => {
    const { newCache, withinTtl, letExpire, read } = fixture
    const { key, ttl } = await withinTtl(async (key, ttl) => {
      await newCache().set(key, 1, { ttl })
      await newCache().set(key, 2)
    })
    await letExpire(ttl)
    assert.equal(await read(key), '2', 'set without a ttl removes the earlier ttl')
  },
})
