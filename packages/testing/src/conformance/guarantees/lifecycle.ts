import assert from 'node:assert/strict'
import { AsyncLocalStorage, createHook } from 'node:async_hooks'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Awaitable, Cache } from '@stowage/core'
import { assertCacheError, concurrently } from '../support/assertions.ts'
import { type ConformanceCase, group } from '../support/case.ts'
import type { Fixture } from '../support/fixture.ts'

type Calls = Record<string, () => Awaitable<unknown>>

/** A call of each method of the store except `close`. */
export function callsOf({ store, newKey, item }: Fixture): Calls {
  const { scan } = store
  return {
    get: () => store.get(newKey()),
    getMany: () => store.getMany([newKey()]),
    set: () => store.set(newKey(), item('x')),
    setMany: () => store.setMany([[newKey(), item('x')]]),
    add: () => store.add(newKey(), item('x')),
    compareAndSet: () => store.compareAndSet(newKey(), item('x'), item('y')),
    increment: () => store.increment(newKey(), 1),
    touch: () => store.touch(newKey(), 1_000),
    delete: () => store.delete(newKey()),
    deleteMany: () => store.deleteMany([newKey()]),
    clear: () => store.clear(),
    ping: () => store.ping(),
    ...(scan && { scan: () => scan.call(store, '')[Symbol.asyncIterator]().next() }),
  }
}

/** A call of each method of a cache that uses the store. */
export function cacheCalls(cache: Cache): Calls {
  return {
    get: () => cache.get('a'),
    getMany: () => cache.getMany(['a']),
    set: () => cache.set('a', 1),
    setMany: () => cache.setMany([['a', 1]]),
    add: () => cache.add('a', 1),
    replace: () => cache.replace('a', 1),
    update: () => cache.update('a', () => 1),
    pull: () => cache.pull('a'),
    remember: () => cache.remember('a', {}, () => 1),
    increment: () => cache.increment('a'),
    touch: () => cache.touch('a'),
    delete: () => cache.delete('a'),
    clear: () => cache.clear(),
    ping: () => cache.ping(),
  }
}

export const lifecycle: readonly ConformanceCase[] = group('lifecycle', {
  'ping succeeds when the backend is reachable': async ({ store }) => {
    assert.equal(await store.ping(), undefined, 'ping resolves to undefined')
    assert.equal(await store.ping(), undefined, 'ping can be repeated')
  },

  'close can be repeated': async ({ store, newKey, item }) => {
    await store.set(newKey(), item('x'))
    const closing = store.close()
    assert.ok(closing instanceof Promise, 'close returns a promise')
    assert.equal(await closing, undefined, 'close resolves to undefined')
    assert.equal(await store.close(), undefined, 'close of a closed store succeeds')
    await concurrently(3, () => store.close())
  },

  'close of an unused store succeeds': async ({ store }) => {
    await concurrently(2, () => store.close())
    assert.equal(await store.close(), undefined, 'close of an unused store succeeds')
  },

  'close waits for calls in flight': async ({ store, newKey, newKeys, item }) => {
    const key = newKey()
    const calls = [
      store.set(key, item('x')),
      store.add(newKey(), item('x')),
      store.increment(newKey(), 1),
      store.getMany(newKeys(50)),
      // A store may send the calls of one key one after another.
      ...['1', '2', '3'].map((text) => store.set(key, item(text))),
      store.get(key),
      store.delete(key),
    ]
    await store.close()
    const outcomes = await Promise.allSettled(calls)
    for (const outcome of outcomes) {
      assert.equal(outcome.status, 'fulfilled', 'a call that started before close succeeds')
    }
  },

  'close resolves after the calls in flight have settled': async (fixture) => {
    const { store, newKey, item } = fixture
    await store.set(newKey(), item('x'))
    // A scan makes several calls, and clear would delete the items of other tests.
    const { clear: _c, scan: _s, ...calls } = callsOf(fixture)
    const inFlight = new Set<string>()
    const settled = Object.entries(calls).map(async ([operation, call]) => {
      inFlight.add(operation)
      try {
        await call()
      } finally {
        inFlight.delete(operation)
      }
    })
    const closed = [store.close(), store.close()].map(async (closing) => {
      await closing
      // A wrapper may pass on a result some microtasks later.
      await nextTurn()
      assert.deepEqual([...inFlight], [], 'close resolves when no call is in flight any more')
    })
    await Promise.all([...closed, ...settled])
  },

  'close of a cache waits for the requests in flight': async ({ newCache, newKey }) => {
    const cache = newCache({ prefix: newKey('p:') })
    // A method of several calls of the store may begin the next one after close.
    const {
      add: _a,
      replace: _r,
      update: _u,
      pull: _p,
      remember: _m,
      clear: _c,
      ...calls
    } = cacheCalls(cache)
    const outcomes = Promise.allSettled(Object.values(calls).map((call) => call()))
    await cache.close()
    for (const outcome of await outcomes) {
      assert.equal(outcome.status, 'fulfilled', 'a call that started before close succeeds')
    }
  },

  'await using closes the store': async (fixture) => {
    const { store } = fixture
    await store[Symbol.asyncDispose]()
    const call = () => store.get(fixture.newKey())
    await assertCacheError('ERR_CACHE_CLOSED', call, 'get after Symbol.asyncDispose')
    assert.equal(await store.close(), undefined, 'close of a disposed store succeeds')
    assert.equal(await store[Symbol.asyncDispose](), undefined, 'a store can be disposed twice')
  },

  'creating and closing a store does no I/O': async (fixture) => {
    const watch = new IoWatch()
    const created = await watch.run(async () => {
      const store = await fixture.createStore()
      for (let turn = 0; turn < 3; turn++) await nextTurn()
      await store?.close()
      return store
    })
    if (created === undefined) return
    assert.deepEqual(watch.requests, [], 'the first command connects, not the constructor')
  },

  'every call after close fails with ERR_CACHE_CLOSED': async (fixture) => {
    await fixture.store.close()
    for (const [operation, call] of Object.entries(callsOf(fixture))) {
      const error = await assertCacheError('ERR_CACHE_CLOSED', call, `${operation} after close`)
      assert.equal(error.operation, operation, 'the error names the operation')
      assert.equal(error.store, fixture.store.name, 'the error names the store')
      assert.equal(error.retryable, false, 'a call of a closed store is not retryable')
    }
  },

  'empty batches after close fail too': async ({ store }) => {
    await store.close()
    const calls: Calls = {
      getMany: () => store.getMany([]),
      setMany: () => store.setMany([]),
      deleteMany: () => store.deleteMany([]),
    }
    for (const [operation, call] of Object.entries(calls)) {
      await assertCacheError('ERR_CACHE_CLOSED', call, `${operation}([]) after close`)
    }
  },

  'every call of a closed cache fails with ERR_CACHE_CLOSED': async ({ newCache, newKey }) => {
    const cache = newCache()
    const prefixed = newCache({ prefix: newKey('p:') })
    await cache.close()
    assert.equal(await cache.close(), undefined, 'close of a closed cache succeeds')
    for (const closed of [cache, prefixed]) {
      for (const [method, call] of Object.entries(cacheCalls(closed))) {
        await assertCacheError('ERR_CACHE_CLOSED', call, `${method} after close of the cache`)
      }
    }
  },
})

/** Resources that Node creates for a connection attempt or a name lookup. */
const requestTypes: ReadonlySet<string> = new Set([
  'TCPCONNECTWRAP',
  'PIPECONNECTWRAP',
  'GETADDRINFOREQWRAP',
  'GETNAMEINFOREQWRAP',
  'QUERYWRAP',
  'UDPSENDWRAP',
])

/** Records the connection attempts and name lookups of a function, and of all that it has started. */
class IoWatch {
  /** The types of the requests. */
  readonly requests: string[] = []
  /** Tells the requests of the function from those of other tests, which may run at the same time. */
  readonly #context = new AsyncLocalStorage<IoWatch>()

  async run<T>(work: () => Promise<T>): Promise<T> {
    const hook = createHook({
      init: (_id, type) => {
        const isOwn = this.#context.getStore() === this
        if (isOwn && requestTypes.has(type)) this.requests.push(type)
      },
    })
    hook.enable()
    try {
      return await this.#context.run(this, work)
    } finally {
      hook.disable()
    }
  }
}
