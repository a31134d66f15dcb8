import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { CacheError } from '@stowage/core'
import type { BatchError } from '@stowage/core/driver'
import { assertCacheError } from '../support/assertions.ts'
import { type ConformanceCase, group } from '../support/case.ts'
import { type Fixture, minute } from '../support/fixture.ts'
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

  'a failed call does not affect the calls for other keys in its tick': async (fixture) => {
    const { newKeys, store, item, read } = fixture
    const [set, many, added, gone, counter] = newKeys(5) as [string, string, string, string, string]
    await store.setMany([set, gone].map((key) => [key, item('old')] as const))
    for (const failures of await failuresOf(fixture)) {
      const outcomes = await Promise.allSettled(
        interleave(failures, [
          async () => store.set(set, item('new')),
          async () => store.get(set),
          async () => store.setMany([[many, item('many')]], minute),
          async () => store.add(added, item('added')),
          async () => store.increment(counter, 1),
          async () => store.set(gone, item('new')),
          async () => store.touch(set, minute),
          async () => store.getMany([set, many]),
        ]),
      )
      assertOwnOutcomes(outcomes, failures)
      assert.equal(await read(set), 'new', 'a set is not undone by the failure of another key')
      assert.equal(await read(many), 'many', 'a setMany is not undone by another failure')
    }
  },

  'the outcomes of a BatchError are those of each key': async (fixture) => {
    const { store, newKeys, item, read, isByteStore } = fixture
    const { valueBytes } = store.limits
    if (!isByteStore || valueBytes > 8 * 1_048_576) return
    const keys = newKeys(5)
    const texts = keys.map((_, index) => 'x'.repeat(index === 2 ? valueBytes + 1 : 3))
    await store.setMany(keys.map((key) => [key, item('old')] as const))
    const entries = keys.map((key, index) => [key, item(texts[index] as string)] as const)
    const rule = 'setMany rejects a value above limits.valueBytes'
    const error = await assertCacheError('ERR_CACHE_LIMIT', () => store.setMany(entries), rule)
    const { outcomes } = error as Partial<BatchError>
    if (outcomes === undefined) return
    assert.equal(outcomes.length, keys.length, 'a BatchError has the outcome of every key')
    for (const [index, { status, ...outcome }] of outcomes.entries()) {
      const key = keys[index] as string
      const text = await read(key)
      if (status === 'fulfilled') assert.equal(text, texts[index], 'a stored entry is fulfilled')
      else assertKey((outcome as PromiseRejectedResult).reason, key)
    }
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

interface Failure {
  readonly key: string
  readonly operation: string
  readonly call: () => Promise<unknown>
}

/** Lists of calls that fail, each because of its own key. */
async function failuresOf({ store, newKeys, item, isByteStore }: Fixture): Promise<Failure[][]> {
  const textKeys = newKeys(3)
  for (const key of textKeys) await store.set(key, item('text'))
  const increments = textKeys.map((key) => ({
    key,
    operation: 'increment',
    call: async () => store.increment(key, 1),
  }))
  const { valueBytes } = store.limits
  if (!isByteStore || valueBytes > 8 * 1_048_576) return [increments]
  const large = item('x'.repeat(valueBytes + 1))
  const sets = newKeys(3).map((key) => ({
    key,
    operation: 'set',
    call: async () => store.set(key, large),
  }))
  return [increments, sets]
}

/** Makes the calls in turn: a failure after every second of the others. */
function interleave(
  failures: readonly Failure[],
  others: readonly (() => Promise<unknown>)[],
): Promise<unknown>[] {
  return others.flatMap((other, index) => {
    const failure = index % 2 === 0 ? failures[index / 2] : undefined
    return failure === undefined ? [other()] : [failure.call(), other()]
  })
}

function assertOwnOutcomes(
  outcomes: readonly PromiseSettledResult<unknown>[],
  failures: readonly Failure[],
): void {
  const errors = outcomes.flatMap((outcome) =>
    outcome.status === 'rejected' ? [outcome.reason] : [],
  )
  const rule = 'a call fails only because of its own key'
  assert.equal(errors.length, failures.length, `${rule}: ${inspect(errors)}`)
  for (const [index, error] of errors.entries()) {
    const { key, operation } = failures[index] as Failure
    assertKey(error, key)
    assert.equal(error.operation, operation, 'an error names the operation of its own call')
  }
}

function assertKey(error: unknown, key: string): void {
  assert.ok(CacheError.is(error), `expected a CacheError, got ${inspect(error)}`)
  assert.equal(error.key, key, 'an error has the key of its own call')
}

/** Asserts that no text that a logger makes of the error contains the key, which may be a session id. */
function assertNoSecrets(error: CacheError): void {
  const rule = 'an error does not reveal the key'
  assert.ok(!error.message.includes(secret), `${rule}: message`)
  assert.ok(!String(error.stack).includes(secret), `${rule}: stack`)
  assert.ok(!JSON.stringify({ ...error }).includes(secret), `${rule}: enumerable properties`)
  assert.ok(!inspect(error, { depth: 10 }).includes(secret), `${rule}: util.inspect`)
}
