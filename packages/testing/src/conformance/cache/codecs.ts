import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { asIs, type Codec, compressed, encrypted, structured } from '@stowage/core'
import { assertCacheError, concurrently } from '../support/assertions.ts'
import { type ConformanceCase, group } from '../support/case.ts'
import type { Fixture } from '../support/fixture.ts'

const keys = [`test:${randomBytes(32).toString('base64')}`]
const secret = encrypted(compressed(structured(), { from: 100 }), { keys })
const anyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
const longText = 'text '.repeat(40)

/** Codecs, and values that they return as they were. */
const codecs: Readonly<Record<string, readonly [Codec, readonly unknown[]]>> = {
  asIs: [asIs(), [anyByte, Buffer.alloc(0), Buffer.from('\x01\x02')]],
  'asIs as text': [asIs({ returns: 'text' }), ['', 'ä', '\x01\x02']],
  structured: [structured(), [new Map([['at', new Date(5)]]), [1n, undefined], 7]],
  compressed: [compressed(structured(), { from: 100 }), [longText, new Set([longText]), 7]],
  encrypted: [secret, ['short', longText, [1n], null]],
}

const addOne = (current: number | undefined) => (current ?? 0) + 1

export const codecCases: readonly ConformanceCase[] = group('codecs', {
  'every codec returns values as they were': onBytes(async ({ newCache, newKey }) => {
    for (const [name, [codec, values]] of Object.entries(codecs)) {
      const cache = newCache({ codec })
      for (const value of values) {
        const [one, two] = [newKey(), newKey()]
        await cache.set(one, value)
        await cache.setMany([[two, value]])
        assert.deepEqual(await cache.get(one), value, `${name}: get`)
        assert.deepEqual(await cache.getMany([two, one]), [value, value], `${name}: getMany`)
        assert.equal(await cache.add(one, value), false, `${name}: add`)
        assert.deepEqual(await cache.pull(two), value, `${name}: pull`)
        assert.deepEqual(await cache.remember(two, {}, () => value), value, `${name}: remember`)
      }
    }
  }),

  'update, replace and pull compare the stored bytes, which encryption never repeats': onBytes(
    async ({ newCache, newKey }) => {
      const cache = newCache({ codec: secret })
      const key = newKey()
      assert.equal(await cache.update(key, addOne), 1, 'update stores a first value')
      await concurrently(20, () => cache.update(key, addOne))
      assert.equal(await cache.get(key), 21, 'no concurrent update is lost')
      assert.equal(await cache.replace(key, 'replaced'), true, 'replace')
      const pulled = await concurrently(10, () => cache.pull(key))
      const values = pulled.filter((value) => value !== undefined)
      assert.deepEqual(values, ['replaced'], 'one concurrent pull returns the value')
    },
  ),

  'a payload that was copied to another key is a miss with encryption': onBytes(
    async ({ newCache, newKey, store }) => {
      const cache = newCache({ codec: secret })
      const [one, two] = [newKey(), newKey()]
      await cache.set(one, 'secret')
      await store.set(two, await store.get(one))
      assert.equal(await cache.get(two), undefined, 'the copy is a miss')
      assert.equal(await cache.get(one), 'secret', 'the original is a hit')
    },
  ),

  'increment is unsupported with encryption': onBytes(async ({ newCache, newKey }) => {
    const cache = newCache({ codec: secret })
    const key = newKey()
    await cache.set(key, 1)
    const rule = 'increment of an encrypted value is unsupported'
    await assertCacheError('ERR_CACHE_UNSUPPORTED', () => cache.increment(key), rule)
    assert.equal(await cache.get(key), 1, 'the value is unchanged')
  }),
})

/** Stores of entries use no codec. */
function onBytes(check: (fixture: Fixture) => Promise<void>) {
  return async (fixture: Fixture) => {
    if (fixture.isByteStore) await check(fixture)
  }
}
