import assert from 'node:assert/strict'
import type { Awaitable } from '@stowage/core'
import { type ConformanceCase, group } from './case.ts'
import { fails, together } from './expect.ts'
import type { Subject } from './subject.ts'

/** A call of every method of the contract. */
export function everyCall({ store, key, item }: Subject): Record<string, () => Awaitable<unknown>> {
  const { scan } = store
  return {
    get: () => store.get(key()),
    getMany: () => store.getMany([key()]),
    set: () => store.set(key(), item('x')),
    setMany: () => store.setMany([[key(), item('x')]]),
    add: () => store.add(key(), item('x')),
    compareAndSet: () => store.compareAndSet(key(), item('x'), item('y')),
    increment: () => store.increment(key(), 1),
    touch: () => store.touch(key(), 1_000),
    delete: () => store.delete(key()),
    deleteMany: () => store.deleteMany([key()]),
    clear: () => store.clear(),
    ping: () => store.ping(),
    ...(scan && { scan: () => scan.call(store, '')[Symbol.asyncIterator]().next() }),
  }
}

export const lifecycle: readonly ConformanceCase[] = group('lifecycle', {
  'ping resolves where the backend answers': async ({ store }) => {
    assert.equal(await store.ping(), undefined, 'ping resolves')
    assert.equal(await store.ping(), undefined, 'ping resolves again')
  },

  'close is idempotent': async ({ store, key, item }) => {
    await store.set(key(), item('x'))
    const closing = store.close()
    assert.ok(closing instanceof Promise, 'close returns a promise')
    assert.equal(await closing, undefined, 'close resolves')
    assert.equal(await store.close(), undefined, 'close of a closed store resolves')
    await together(3, () => store.close())
  },

  'close of a store that was never used': async ({ store }) => {
    await together(2, () => store.close())
    assert.equal(await store.close(), undefined, 'nothing was opened, nothing is to be closed')
  },

  'close waits for calls under way': async ({ store, key, keys, item }) => {
    const mine = key()
    const calls = [
      store.set(mine, item('x')),
      store.add(key(), item('x')),
      store.increment(key(), 1),
      store.getMany(keys(50)),
    ]
    await store.close()
    const outcomes = await Promise.allSettled(calls)
    for (const outcome of outcomes) {
      assert.equal(outcome.status, 'fulfilled', 'what was called before close is carried out')
    }
  },

  'after close every call is a coded error': async (subject) => {
    await subject.store.close()
    for (const [operation, call] of Object.entries(everyCall(subject))) {
      const error = await fails('ERR_CACHE_CLOSED', call, `${operation} after close`)
      assert.equal(error.operation, operation, 'the error names the operation')
      assert.equal(error.store, subject.store.name, 'the error names the store')
      assert.equal(error.retryable, false, 'a closed store stays closed')
    }
  },

  'empty batches after close are errors too': async ({ store }) => {
    await store.close()
    const rule = 'after close'
    await fails('ERR_CACHE_CLOSED', () => store.getMany([]), `getMany of nothing ${rule}`)
    await fails('ERR_CACHE_CLOSED', () => store.setMany([]), `setMany of nothing ${rule}`)
    await fails('ERR_CACHE_CLOSED', () => store.deleteMany([]), `deleteMany of nothing ${rule}`)
  },

  'a closed cache is a coded error': async ({ cache, key }) => {
    const cached = cache()
    const prefixed = cache({ prefix: key('p:') })
    await cached.close()
    assert.equal(await cached.close(), undefined, 'close is idempotent')
    for (const each of [cached, prefixed]) {
      const rule = 'after close of the cache'
      await fails('ERR_CACHE_CLOSED', () => each.get('a'), `get ${rule}`)
      await fails('ERR_CACHE_CLOSED', () => each.getMany(['a']), `getMany ${rule}`)
      await fails('ERR_CACHE_CLOSED', () => each.set('a', 1), `set ${rule}`)
      await fails('ERR_CACHE_CLOSED', () => each.setMany([['a', 1]]), `setMany ${rule}`)
      await fails('ERR_CACHE_CLOSED', () => each.add('a', 1), `add ${rule}`)
      await fails('ERR_CACHE_CLOSED', () => each.replace('a', 1), `replace ${rule}`)
      await fails('ERR_CACHE_CLOSED', () => each.update('a', () => 1), `update ${rule}`)
      await fails('ERR_CACHE_CLOSED', () => each.pull('a'), `pull ${rule}`)
      await fails('ERR_CACHE_CLOSED', () => each.remember('a', {}, () => 1), `remember ${rule}`)
      await fails('ERR_CACHE_CLOSED', () => each.increment('a'), `increment ${rule}`)
      await fails('ERR_CACHE_CLOSED', () => each.touch('a'), `touch ${rule}`)
      await fails('ERR_CACHE_CLOSED', () => each.delete('a'), `delete ${rule}`)
      await fails('ERR_CACHE_CLOSED', () => each.clear(), `clear ${rule}`)
      await fails('ERR_CACHE_CLOSED', () => each.ping(), `ping ${rule}`)
    }
  },
})
