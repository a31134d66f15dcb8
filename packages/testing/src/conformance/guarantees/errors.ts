import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { CacheError } from '@stowage/core'
import { assertCacheError } from '../assertions.ts'
import { type ConformanceCase, group } from '../case.ts'
import type { Fixture } from '../fixture.ts'
import { callsOf } from './lifecycle.ts'

const secret = 'session-0f6d2c'

export const errors: readonly ConformanceCase[] = group('errors', {
  'an error names the store and the operation': async ({ store, newKey, item }) => {
    const key = newKey()
    await store.set(key, item('text'))
    const call = () => store.increment(key, 1)
    const error = await assertCacheError('ERR_CACHE_REJECTED', call, 'increment rejects text')
    assert.ok(error instanceof Error, 'a CacheError is an Error')
    assert.ok(CacheError.is(error), 'CacheError.is recognizes the error')
    assert.equal(error.store, store.name, 'the error names the store')
    assert.equal(error.operation, 'increment', 'the error names the operation')
    assert.equal(error.retryable, false, 'a rejected increment is not retryable')
    assert.ok(error.message !== '', 'the error has a message')
  },

  'the error of a rejected increment does not reveal the key': async (fixture) => {
    const { store, newKey, item, encoded } = fixture
    const key = newKey(secret)
    await store.set(key, item('text'))
    const call = () => store.increment(key, 1)
    assertNoSecrets(await assertCacheError('ERR_CACHE_REJECTED', call, 'increment rejects text'))
    await store.set(key, encoded(Number.MAX_SAFE_INTEGER))
    const rule = 'increment rejects an unsafe sum'
    assertNoSecrets(await assertCacheError('ERR_CACHE_REJECTED', call, rule))
  },

  'the error of a value that is too large does not reveal the key': async (fixture) => {
    const { store, newKey, item, isByteStore } = fixture
    const { valueBytes } = store.limits
    if (!isByteStore || valueBytes > 8 * 1_048_576) return
    const large = item('x'.repeat(valueBytes + 1))
    const calls = {
      set: () => store.set(newKey(secret), large),
      setMany: () => store.setMany([[newKey(secret), large]]),
      add: () => store.add(newKey(secret), large),
    }
    for (const [operation, call] of Object.entries(calls)) {
      const rule = `${operation} rejects a value above limits.valueBytes`
      const error = await assertCacheError('ERR_CACHE_LIMIT', call, rule)
      assert.equal(error.store, store.name, 'the error names the store')
      assert.equal(error.operation, operation, 'the error names the operation')
      assert.equal(error.retryable, false, 'a value that is too large is not retryable')
      assertNoSecrets(error)
    }
  },

  'the error of a closed store does not reveal the key': async (fixture) => {
    await fixture.store.close()
    const withSecret = { ...fixture, newKey: () => fixture.newKey(secret) } as Fixture
    for (const [operation, call] of Object.entries(callsOf(withSecret))) {
      assertNoSecrets(await assertCacheError('ERR_CACHE_CLOSED', call, `${operation} after close`))
    }
  },

  'the errors of a cache do not reveal the key': async ({ newKey, newCache, isByteStore }) => {
    const cache = newCache({ prefix: newKey('p:') })
    await cache.set(secret, 'text')
    const increment = () => cache.increment(secret)
    const rule = 'increment rejects text'
    assertNoSecrets(await assertCacheError('ERR_CACHE_REJECTED', increment, rule))
    if (!isByteStore) return
    const set = () => cache.set(secret, 10n)
    assertNoSecrets(await assertCacheError('ERR_CACHE_CODEC', set, 'set rejects a BigInt'))
  },
})

/** Asserts that no text that a logger makes of the error contains the key, which may be a session id. */
function assertNoSecrets(error: CacheError): void {
  const rule = 'an error does not reveal the key'
  assert.ok(!error.message.includes(secret), `${rule}: message`)
  assert.ok(!String(error.stack).includes(secret), `${rule}: stack`)
  assert.ok(!JSON.stringify({ ...error }).includes(secret), `${rule}: enumerable properties`)
  assert.ok(!inspect(error, { depth: 10 }).includes(secret), `${rule}: util.inspect`)
}
