import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { Cache, CacheError, type CacheStore } from '@stowage/core'
import { type Interceptor, wrapStore } from '@stowage/core/driver'
import { Deferred } from '@stowage/core/internal'
import { memory } from '@stowage/memory'
import { expect, test } from 'vitest'

/** Creates caches like those of several processes, on one backend that cannot list its keys. */
function setup() {
  let now = 1_000
  let monotonic = now
  const clock = { now: () => now, monotonic: () => monotonic, sleep: async () => {} }
  const setTime = (time: number, monotonicTime = time) => {
    now = time
    monotonic = monotonicTime
  }
  const backend = memory({ clock })
  const createCache = (intercept: Interceptor = async (_, call) => call()) => {
    const store = wrapStore(backend, intercept)
    delete (store as { scan?: unknown }).scan
    return new Cache(store as CacheStore, { prefix: 'app:', clock })
  }
  return { backend, createCache, setTime }
}

const isIdKey = (key: unknown) => String(key).includes('~generation')

/** Executes calls immediately, but delays the replies of some until `release` is called. */
function slowReplies(isSlow: (operation: string, key: unknown) => boolean) {
  const released = new Deferred<void>()
  const intercept: Interceptor = async (operation, call, [key]) => {
    const result = await call()
    if (isSlow(operation, key)) await released.promise
    return result
  }
  return { intercept, release: () => released.resolve() }
}

test('a clear is noticed within a second of the read of the id, not of its reply', async () => {
  const { createCache, setTime } = setup()
  const other = createCache()
  await other.set('k', 1)
  const { intercept, release } = slowReplies((_, key) => isIdKey(key))
  const cache = createCache(intercept)
  const reading = cache.get('k')
  await other.clear()
  setTime(1_999)
  release()
  expect(await reading).toBe(1)
  setTime(2_000)
  expect(await cache.get('k')).toBeUndefined()
})

test('a write that is repeated in a new generation precedes later calls for its key', async () => {
  const { createCache } = setup()
  const other = createCache()
  const { intercept, release } = slowReplies(
    (operation, key) => operation === 'set' && !isIdKey(key),
  )
  const cache = createCache(intercept)
  await cache.get('k')
  await other.clear()
  const loading = cache.remember('k', {}, () => 'outdated')
  await sleep(5)
  await cache.delete('k')
  release()
  await loading
  expect(await cache.get('k')).toBeUndefined()
})

test('calls wait for those that were made before the id was known', async () => {
  const { backend, createCache } = setup()
  await createCache().set('other', 0)
  // The id is known before the missing copy has been stored again.
  const [id, copy] = ['app:~generation', 'app:~generation1']
  expect(backend.get(id)).toBe(backend.get(copy))
  await backend.delete(copy)
  const repairing = new Deferred<void>()
  const repaired = new Deferred<void>()
  const cache = createCache(async (operation, call, [key]) => {
    if (operation !== 'add' || key !== copy) return call()
    repairing.resolve()
    await repaired.promise
    return call()
  })
  const calls: Promise<unknown>[] = [cache.set('k', 1)]
  await repairing.promise
  calls.push(cache.get('k'), cache.set('k', 2), cache.get('k', { consistency: 'strong' }))
  await sleep(5)
  repaired.resolve()
  expect(await Promise.all(calls)).toEqual([undefined, 1, undefined, 2])
  expect(await cache.get('k')).toBe(2)
})

/** Delays reads of ids with this part from `delay` until `release` is called. `delayed` resolves when one has been sent. */
function delayedIdReads(part = '~generation') {
  let isDelaying = false
  const delayed = new Deferred<void>()
  const released = new Deferred<void>()
  const intercept: Interceptor = async (operation, call, [key]) => {
    if (!isDelaying || operation !== 'get' || !String(key).includes(part)) return call()
    delayed.resolve()
    await released.promise
    return call()
  }
  const delay = (isOn: boolean) => {
    isDelaying = isOn
  }
  return { intercept, delay, delayed: delayed.promise, release: () => released.resolve() }
}

test('a write before a clear is not repeated after it, even if its id is read after the clear', async () => {
  const { createCache } = setup()
  const { intercept, delay, delayed, release } = delayedIdReads()
  const cache = createCache(intercept)
  await cache.get('k')
  delay(true)
  const writing = cache.set('k', 1)
  await delayed
  delay(false)
  await cache.clear()
  release()
  await writing
  expect(await cache.get('k')).toBeUndefined()
})

test('nor is it when another call finds the id of the clear before that is stored everywhere', async () => {
  const { createCache } = setup()
  const { intercept, delay, delayed, release } = delayedIdReads()
  // Of the clear, and of the read, which replaces the older copy after it has found the id.
  const storing = [new Deferred<void>(), new Deferred<void>()]
  const stored = new Deferred<void>()
  let stores = 0
  const cache = createCache(async (operation, call, args) => {
    if (operation === 'compareAndSet' && args[0] === 'app:~generation2') {
      storing[stores++]?.resolve()
      await stored.promise
    }
    return intercept(operation, call, args)
  })
  await cache.get('k')
  delay(true)
  const writing = cache.set('k', 1)
  await delayed
  delay(false)
  const clearing = cache.clear()
  await storing[0]?.promise
  const read = cache.get('k', { consistency: 'strong' })
  await storing[1]?.promise
  release()
  stored.resolve()
  await Promise.all([writing, clearing, read])
  expect(await cache.get('k')).toBeUndefined()
})

test.each(['its namespace', 'the cache around it'])(
  'but a change is, of an item that another process had cleared, before a clear of %s',
  async (cleared) => {
    const { createCache } = setup()
    const { intercept, delay, delayed, release } = delayedIdReads(':ns:~generation')
    const cache = createCache(intercept)
    const space = cache.namespace('ns')
    for (const key of ['a', 'b', 'c', 'd', 'e']) await space.set(key, 1)
    const snapshot = await space.snapshot('e')
    await createCache().namespace('ns').clear()
    delay(true)
    const changing = [
      space.delete('a'),
      space.touch('b'),
      space.deleteMany(['c']),
      space.replace('d', 2),
      snapshot.replace(2),
    ]
    await delayed
    delay(false)
    await (cleared === 'its namespace' ? space : cache).clear()
    release()
    expect(await Promise.all(changing)).toEqual([false, false, 0, false, false])
  },
)

test('a write of a process that clears has no result of a namespace that another one had cleared', async () => {
  const { createCache } = setup()
  const { intercept, delay, delayed, release } = delayedIdReads(':ns:~generation')
  const added = new Deferred<void>()
  const cache = createCache(async (operation, call, args) => {
    const result = await intercept(operation, call, args)
    if (operation === 'add' && String(args[0]).endsWith(':first')) await added.promise
    return result
  })
  const space = cache.namespace('ns')
  await space.set('count', 1)
  const adding = space.add('first', 1)
  await turn()
  await createCache().namespace('ns').clear()
  // Waits for the write before it, but not for the one after it.
  const clearing = cache.clear()
  delay(true)
  const counting = space.increment('count', 5)
  await delayed
  delay(false)
  added.resolve()
  await Promise.all([adding, clearing])
  release()
  expect(await counting).toBe(5)
  expect(await space.get('count')).toBeUndefined()
})

test('a change in a namespace waits for its id, although that of the cache around it is unreachable', async () => {
  const { createCache } = setup()
  const { intercept, delay, delayed, release } = delayedIdReads(':ns:~generation')
  let isDown = false
  const cache = createCache(async (operation, call, args) => {
    if (!isDown || !String(args[0]).startsWith('app:~')) return intercept(operation, call, args)
    throw new CacheError('ERR_CACHE_UNAVAILABLE', 'unreachable', { store: 'memory', operation })
  })
  const space = cache.namespace('ns')
  await space.set('k', 1)
  const other = createCache().namespace('ns')
  await other.clear()
  await other.set('k', 2)
  isDown = true
  delay(true)
  const deleting = space.delete('k')
  await delayed
  await turn()
  release()
  expect(await deleting).toBe(true)
  expect(await other.get('k')).toBeUndefined()
})

test('a call after a clear in the same tick reaches the store after it', async () => {
  const operations: string[] = []
  const store = wrapStore(memory(), (operation, call) => {
    operations.push(operation)
    return call()
  })
  const cache = new Cache(store)
  await Promise.all([cache.clear(), cache.set('k', 1)])
  expect(operations).toEqual(['clear', 'set'])
  expect(await cache.get('k')).toBe(1)
})

test('a clear does not replace a newer id, however often it conflicts with others', async () => {
  const { backend, createCache, setTime } = setup()
  const ids = ['rs.conflict', 'rt.conflict', 'ru.conflict', 'rv.conflict', 'rw.conflict']
  const newest = 'zzz.conflict'
  const cache = createCache(async (operation, call, [key]) => {
    const isConflict = key === 'app:~generation' && /compareAndSet|^set/.test(operation)
    if (isConflict) backend.set(String(key), ids.shift() ?? newest)
    return call()
  })
  await cache.get('k')
  setTime(2_000)
  await cache.clear()
  expect(backend.get('app:~generation')).toBe(newest)
})

test('close waits for the calls of a namespace that are reading an id', async () => {
  const { createCache } = setup()
  const cache = createCache()
  const users = cache.namespace('users')
  const reading = users.get('k')
  const closing = cache.close()
  expect(await reading).toBeUndefined()
  await closing
  for (const closed of [users, cache]) {
    await expect(closed.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_CLOSED' })
  }
})

test('ids can be read by other processes if the clock returns fractions', async () => {
  const { createCache, setTime } = setup()
  setTime(1_000.5)
  await createCache().set('k', 1)
  expect(await createCache().get('k')).toBe(1)
})

test('a namespace on a durable backend stores one copy of its id', async () => {
  const { backend, createCache } = setup()
  const keys: unknown[] = []
  const store = wrapStore(backend, (operation, call, [key]) => {
    if (operation === 'add') keys.push(key)
    return call()
  })
  delete (store as { scan?: unknown }).scan
  const cache = new Cache({ ...store, durable: true } as CacheStore, { prefix: 'app:' })
  await cache.namespace('users').get('k')
  expect(keys).toEqual(['app:~generation', 'app:users:~generation'])
  await createCache().close()
})

test('processes that create an id at the same time agree on one before it is used', async () => {
  const { backend, createCache, setTime } = setup()
  const ids = ['app:~generation', 'app:~generation1', 'app:~generation2']
  const gates = [new Deferred<void>(), new Deferred<void>()] as const
  const late = createCache(async (operation, call, [key]) => {
    if (operation === 'add' && isIdKey(key)) await gates[0].promise
    return call()
  })
  const partial = createCache(async (operation, call, [key]) => {
    if (operation === 'add' && key === ids[0]) await gates[1].promise
    return call()
  })
  const user = createCache()
  await user.get('k')
  backend.deleteMany(ids.slice(1))
  // It stores the missing copies now, and not again within a second.
  setTime(2_000)
  await user.get('k')
  backend.deleteMany(ids)
  // The id that is stored last is the newer one.
  setTime(2_005)
  const reads = [late.get('k')]
  await sleep(5)
  setTime(2_003)
  reads.push(partial.get('k'))
  await sleep(5)
  expect(await user.add('lock', 1)).toBe(true)
  for (const [index, gate] of gates.entries()) {
    gate.resolve()
    await reads[index]
  }
  for (const cache of [late, partial, user]) expect(await cache.add('lock', 2)).toBe(false)
})

test('a clock that is set back by less than a second does not keep an id in use', async () => {
  const { createCache, setTime } = setup()
  const [one, two] = [createCache(), createCache()]
  await one.set('k', 'old')
  expect(await two.get('k')).toBe('old')
  await one.clear()
  setTime(1_200, 2_000)
  expect(await two.get('k')).toBeUndefined()
})

test('no generation begins at a time that other processes do not share', async () => {
  const { backend, createCache } = setup()
  const store = wrapStore(backend, (_, call) => call())
  delete (store as { scan?: unknown }).scan
  let isReadable = false
  const time = async () => {
    if (isReadable) return 1_000
    const options = { store: 'memory', operation: 'time' }
    throw new CacheError('ERR_CACHE_UNAVAILABLE', 'unreachable', options)
  }
  const ahead = { now: () => 9_000, sleep: async () => {} }
  const cache = new Cache({ ...store, time } as CacheStore, { prefix: 'app:', clock: ahead })
  await expect(cache.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
  await createCache().set('k', 1)
  expect(await cache.get('k')).toBe(1)
  for (const call of [cache.clear(), cache.namespace('ns').get('k')]) {
    await expect(call).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
  }
  isReadable = true
  await cache.clear()
  expect(await cache.get('k')).toBeUndefined()
})

test('a write made during a clear of its process is not lost halfway', async () => {
  const { createCache } = setup()
  const [clearable, readable] = [new Deferred<void>(), new Deferred<void>()]
  let isClearing = false
  const cache = createCache(async (operation, call, [key]) => {
    if (isClearing && key === 'app:~generation' && operation === 'compareAndSet')
      await clearable.promise
    if (isClearing && String(key).includes(':ns:~generation')) await readable.promise
    return call()
  })
  const namespace = cache.namespace('ns')
  await namespace.set('k', 1)
  isClearing = true
  const clearing = cache.clear()
  await sleep(5)
  const counting = namespace.increment('k', 5)
  await sleep(5)
  clearable.resolve()
  await clearing
  readable.resolve()
  expect([await counting, await namespace.get('k')]).toEqual([5, 5])
})

test('a clear waits until a write that its process made before has confirmed its generation', async () => {
  const { createCache } = setup()
  const confirmable = new Deferred<void>()
  let isAdding = false
  let isCleared = false
  let reads = 0
  const cache = createCache(async (operation, call, [key]) => {
    if (!isAdding || key !== 'app:~generation1') return call()
    if (operation === 'get' && reads++ === 0) await confirmable.promise
    if (operation === 'compareAndSet') isCleared = true
    return call()
  })
  await cache.set('other', 1)
  isAdding = true
  const adding = cache.add('k', 1)
  const clearing = cache.clear()
  await sleep(5)
  expect(isCleared).toBe(false)
  confirmable.resolve()
  await Promise.all([adding, clearing])
  expect(isCleared).toBe(true)
  expect(await cache.get('k')).toBeUndefined()
})

test('the number of an id is a time that the backend has returned for it', async () => {
  const { backend } = setup()
  const store = wrapStore(backend, (_, call) => call())
  delete (store as { scan?: unknown }).scan
  let now = 36 ** 3
  const time = async () => now
  const cache = new Cache({ ...store, time } as CacheStore, { prefix: 'app:' })
  await cache.get('k')
  // The clock of the backend is ahead of what the process has computed since it read it.
  now += 36
  await cache.clear()
  expect(String(backend.get('app:~generation'))).toMatch(/^1010\./)
})
