import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { CacheError } from '@stowage/core'
import { type ConformanceCase, group } from './case.ts'
import { fails } from './expect.ts'
import { everyCall } from './lifecycle.ts'
import type { Subject } from './subject.ts'

const secret = 'session-0f6d2c'

export const errors: readonly ConformanceCase[] = group('errors', {
  'an error says what failed where': async ({ store, key, item }) => {
    const mine = key()
    await store.set(mine, item('text'))
    const error = await fails('ERR_CACHE_REJECTED', () => store.increment(mine, 1), 'no counter')
    assert.ok(error instanceof Error, 'a CacheError is an Error')
    assert.ok(CacheError.is(error), 'a CacheError is branded')
    assert.equal(error.store, store.name, 'the error names the store')
    assert.equal(error.operation, 'increment', 'the error names the operation')
    assert.equal(error.retryable, false, 'the same call would fail again')
    assert.ok(error.message !== '', 'the error has a message')
  },

  'a refused increment does not tell the key': async (subject) => {
    const { store, key, item } = subject
    const mine = key(secret)
    await store.set(mine, item('text'))
    const error = await fails('ERR_CACHE_REJECTED', () => store.increment(mine, 1), 'no counter')
    discreet(error)
    await store.set(mine, subject.sealed(Number.MAX_SAFE_INTEGER))
    discreet(await fails('ERR_CACHE_REJECTED', () => store.increment(mine, 1), 'out of range'))
  },

  'a value that is too large does not tell the key': async ({ store, key, item, bytes }) => {
    const { valueBytes } = store.limits
    if (!bytes || valueBytes > 8 * 1_048_576) return
    const large = item('x'.repeat(valueBytes + 1))
    const calls = {
      set: () => store.set(key(secret), large),
      setMany: () => store.setMany([[key(secret), large]]),
      add: () => store.add(key(secret), large),
    }
    for (const [operation, call] of Object.entries(calls)) {
      const error = await fails(
        'ERR_CACHE_LIMIT',
        call,
        `${operation} of a value that is too large`,
      )
      assert.equal(error.store, store.name, 'the error names the store')
      assert.equal(error.operation, operation, 'the error names the operation')
      assert.equal(error.retryable, false, 'the same call would fail again')
      discreet(error)
    }
  },

  'a closed store does not tell the key': async (subject) => {
    await subject.store.close()
    const named = { ...subject, key: () => subject.key(secret) } as Subject
    for (const [operation, call] of Object.entries(everyCall(named))) {
      discreet(await fails('ERR_CACHE_CLOSED', call, `${operation} after close`))
    }
  },

  'an error through a cache does not tell the key': async ({ key, cache, bytes }) => {
    const cached = cache({ prefix: key('p:') })
    await cached.set(secret, 'text')
    discreet(await fails('ERR_CACHE_REJECTED', () => cached.increment(secret), 'no counter'))
    if (!bytes) return
    discreet(await fails('ERR_CACHE_CODEC', () => cached.set(secret, 10n), 'no JSON'))
  },
})

/** Asserts that nothing a logger writes of the error contains the key: it may be a session id. */
function discreet(error: CacheError): void {
  const rule = 'an error never shows the key'
  assert.ok(!error.message.includes(secret), `${rule}: in its message`)
  assert.ok(!String(error.stack).includes(secret), `${rule}: in its stack`)
  assert.ok(!JSON.stringify({ ...error }).includes(secret), `${rule}: in its enumerable properties`)
  assert.ok(!inspect(error, { depth: 10 }).includes(secret), `${rule}: when it is inspected`)
}
