import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { Cache, CacheError, type CacheStore, type Payload } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { describe, expect, test } from 'vitest'

const idKeys = ['app:~generation', 'app:~generation1', 'app:~generation2']

/** Creates caches like those of two processes, on one backend that cannot list its keys. */
function setup() {
  let now = 0
  const clock = { now: () => now, sleep: async () => {} }
  const calls: string[] = []
  /** Whether the node that stores a key is unreachable. */
  const fault = { isDown: (_key: string): boolean => false }
  const backend = memory({ clock })
  const unlistable = wrapStore(backend, (operation, call, [key]) => {
    calls.push(`${operation} ${String(key)}`)
    if (!fault.isDown(String(key))) return call()
    throw new CacheError('ERR_CACHE_UNAVAILABLE', 'unreachable', { store: 'memory', operation })
  })
  delete (unlistable as { scan?: unknown }).scan
  // A store object of its own for each: caches over one store object share their generation.
  const createCache = (prefix = 'app:') =>
    new Cache({ ...unlistable } as CacheStore, { prefix, clock })
  /** Deletes every copy of the id, as eviction or the loss of all nodes does. */
  const loseId = () => backend.deleteMany(idKeys)
  const advance = (ms: number) => (now += ms)
  return {
    one: createCache(),
    two: createCache(),
    createCache,
    loseId,
    backend,
    calls,
    fault,
    advance,
  }
}

describe('a prefix on a store with several nodes', () => {
  /** Nodes by the number of a copy: all shared copies are on the first one. */
  function setUpNodes() {
    const { backend, fault, createCache } = setup()
    const unlistable = wrapStore(backend, (operation, call, [key]) => {
      if (!fault.isDown(String(key))) return call()
      throw new CacheError('ERR_CACHE_UNAVAILABLE', 'unreachable', { store: 'memory', operation })
    })
    delete (unlistable as { scan?: unknown }).scan
    const numberOf = (key: string) => Number(/~generation(\d*)$/.exec(key)?.[1] ?? 0)
    const nodeOf = (key: string) => (numberOf(key) < 12 ? 0 : numberOf(key) % 4)
    const createPlaced = (nodeCount = 4, prefix = 'app:') =>
      new Cache({ ...unlistable, placement: { nodeCount, nodeOf } } as CacheStore, { prefix })
    const stopFirst = () => {
      fault.isDown = (key) => key.includes('~generation') && nodeOf(key) === 0
    }
    return { backend, createPlaced, createUnplaced: createCache, stopFirst, fault }
  }

  const strong = { consistency: 'strong' } as const

  test('stores a copy of the id on up to three nodes', async () => {
    const { createPlaced, backend } = setUpNodes()
    await createPlaced().set('k', 1)
    const copies = [0, 1, 2, 13, 14].map((copy) => `app:~generation${copy === 0 ? '' : copy}`)
    const ids = copies.map((key) => backend.get(key))
    expect(new Set(ids).size).toBe(1)
    expect(ids[0]).toBeDefined()
    expect(backend.get('app:~generation15')).toBeUndefined()
  })

  test.each(['a cache', 'a namespace'])(
    'a clear of %s outlives the node of all shared copies',
    async (kind) => {
      const { createPlaced, stopFirst } = setUpNodes()
      const create = () => (kind === 'a cache' ? createPlaced() : createPlaced().namespace('users'))
      const [one, two] = [create(), create()]
      await one.set('k', 'old')
      expect(await two.get('k')).toBe('old')
      await one.clear()
      stopFirst()
      expect(await two.get('k', strong)).toBeUndefined()
    },
  )

  test('processes with other lists of nodes, or none, notice each clear', async () => {
    const { createPlaced, createUnplaced } = setUpNodes()
    const caches = [createPlaced(4), createPlaced(2), createUnplaced()]
    for (const clearing of caches) {
      for (const each of caches) await each.set('k', 'old')
      await clearing.clear()
      for (const each of caches) expect(await each.get('k', strong)).toBeUndefined()
    }
  })

  test('clear rejects without a copy that every process reads', async () => {
    const { createPlaced, createUnplaced, stopFirst, fault } = setUpNodes()
    const [one, other] = [createPlaced(), createUnplaced()]
    await one.set('k', 'old')
    expect(await other.get('k')).toBe('old')
    stopFirst()
    await expect(one.clear()).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
    fault.isDown = () => false
    await one.clear()
    expect(await other.get('k', strong)).toBeUndefined()
  })
})

describe('a prefix on a store that cannot list its keys', () => {
  test('clear removes its keys immediately and affects no others', async () => {
    const { one, createCache } = setup()
    const other = createCache('app2:')
    await one.set('k', 1)
    await other.set('k', 2)
    await one.clear()
    expect(await one.get('k')).toBeUndefined()
    expect(await other.get('k')).toBe(2)
  })

  test('another process notices the clear within a second', async () => {
    const { one, two, advance } = setup()
    await one.set('k', 1)
    expect(await two.get('k')).toBe(1)
    await one.clear()
    advance(1_000)
    expect(await two.get('k')).toBeUndefined()
    await two.set('k', 'new')
    expect(await one.get('k')).toBe('new')
  })

  test('an older id is replaced as soon as it is read, also shortly after another repair', async () => {
    const { one, createCache, backend } = setup()
    await one.set('k', 1)
    const old = await backend.getMany(idKeys)
    const restore = () =>
      backend.setMany(idKeys.map((key, index) => [key, old[index] as Payload] as const))
    await one.clear()
    for (let repair = 0; repair < 2; repair++) {
      // As a change of the nodes does, which makes items of an earlier time readable.
      await restore()
      expect(await one.get('k', { consistency: 'strong' })).toBeUndefined()
      expect(await createCache().get('k')).toBeUndefined()
    }
  })

  test('clearing a cache clears its namespaces, but clearing a namespace does not clear the cache', async () => {
    const { one } = setup()
    const users = one.namespace('users')
    await one.set('k', 1)
    await users.set('k', 2)
    await users.clear()
    expect([await one.get('k'), await users.get('k')]).toEqual([1, undefined])
    await users.set('k', 3)
    await one.clear()
    expect(await one.get('k')).toBeUndefined()
    expect(await users.get('k')).toBeUndefined()
  })

  test('the generation is read once per second instead of with every call', async () => {
    const { one, calls, advance } = setup()
    await Promise.all([one.get('a'), one.get('b')])
    await one.getMany(['a', 'b'])
    const reads = () => calls.filter((call) => call === 'get app:~generation').length
    expect(reads()).toBe(1)
    advance(1_000)
    await one.get('a')
    expect(reads()).toBe(2)
  })

  test('a process that has read the generation stores it again if it is missing', async () => {
    const { one, two, loseId, advance } = setup()
    await one.set('k', 1)
    loseId()
    advance(1_000)
    expect(await one.get('k')).toBe(1)
    expect(await two.get('k')).toBe(1)
  })

  test('a missing generation that no process has read only causes misses', async () => {
    const { one, two, loseId } = setup()
    await one.set('k', 1)
    loseId()
    expect(await two.get('k')).toBeUndefined()
    await two.set('k', 2)
    expect(await two.get('k')).toBe(2)
  })

  test('while the generation is unreadable, only a process that has read it before can continue', async () => {
    const { one, two, advance, fault } = setup()
    await one.set('k', 1)
    fault.isDown = (key) => key.includes('~generation')
    advance(1_000)
    expect(await one.get('k')).toBe(1)
    await expect(two.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
    await expect(one.clear()).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
    fault.isDown = () => false
    await two.clear()
    advance(1_000)
    await one.get('k')
    await turn()
    expect(await one.get('k')).toBeUndefined()
  })

  test('an idle process does not undo a clear when the id is lost', async () => {
    const { one, two, loseId, advance } = setup()
    await one.set('k', 'old')
    expect(await two.get('k')).toBe('old')
    await one.clear()
    advance(60_000)
    loseId()
    expect(await two.get('k')).toBeUndefined()
    expect(await one.get('k')).toBeUndefined()
  })

  test('an older id that reappears is replaced by the newer one of a process', async () => {
    const { one, two, createCache, backend, advance } = setup()
    await one.set('k', 'old')
    const oldIds = idKeys.map((key) => [key, (backend.get(key) ?? '') as Payload] as const)
    await one.clear()
    backend.setMany(oldIds) // A node that was away, or that serves the keys again after scaling in.
    advance(1_000)
    expect(await one.get('k')).toBeUndefined()
    expect(await two.get('k')).toBeUndefined()
    expect(await createCache().get('k')).toBeUndefined()
  })

  test('one copy of the id is enough, and the others are stored again', async () => {
    const { one, createCache, backend, advance } = setup()
    await one.set('k', 1)
    backend.deleteMany(idKeys.slice(1))
    expect(await createCache().get('k')).toBe(1)
    advance(1_000)
    await one.get('k')
    expect(idKeys.map((key) => backend.get(key))).toEqual(
      idKeys.map(() => backend.get(idKeys[0] ?? '')),
    )
  })

  test('an idle namespace waits for its id while that of the cache around it is unreachable', async () => {
    const { one, two, advance, fault } = setup()
    await one.namespace('ns').set('k', 'old')
    await two.namespace('ns').clear()
    advance(60_000)
    fault.isDown = (key) => idKeys.includes(key)
    await one.get('other')
    expect(await one.namespace('ns').get('k')).toBeUndefined()
  })

  test('a strong read and a write notice the clear of another process at once', async () => {
    const { one, two } = setup()
    await one.set('k', 'old')
    expect(await two.get('k')).toBe('old')
    await one.clear()
    expect(await two.get('k', { consistency: 'strong' })).toBeUndefined()
    await one.clear()
    await two.set('k', 'new')
    expect(await one.get('k')).toBe('new')
    await one.clear()
    expect([await one.add('lock', 1), await two.add('lock', 2)]).toEqual([true, false])
  })

  test('a strong read rejects while the id cannot be read, as add does', async () => {
    const { one, two, fault } = setup()
    await one.set('k', 'old')
    expect(await two.get('k')).toBe('old')
    await one.clear()
    fault.isDown = (key) => key.includes('~generation')
    const unreachable = { code: 'ERR_CACHE_UNAVAILABLE' }
    const strong = { consistency: 'strong' } as const
    await expect(two.get('k', strong)).rejects.toMatchObject(unreachable)
    await expect(two.getMany(['k'], strong)).rejects.toMatchObject(unreachable)
    await expect(two.snapshot('k')).rejects.toMatchObject(unreachable)
    const onMiss = { ...strong, confirmGeneration: 'on-miss' } as const
    await expect(two.get('missing', onMiss)).rejects.toMatchObject(unreachable)
    // What does not promise to notice the clear of another process at once still works.
    expect(await two.get('k', { ...strong, confirmGeneration: false })).toBe('old')
    expect(await two.remember('k', {}, () => 'loaded')).toBe('old')
    expect(await two.remember('k', { refresh: true }, () => 'loaded')).toBe('loaded')
    fault.isDown = () => false
    expect(await two.get('k', strong)).toBeUndefined()
  })

  test('a strong read without confirmGeneration reads the known generation only', async () => {
    const { one, calls } = setup()
    await one.set('k', 1)
    calls.length = 0
    await one.get('k', { consistency: 'strong', confirmGeneration: false })
    expect(calls).toHaveLength(1)
    await one.get('k', { consistency: 'strong' })
    expect(calls.filter((call) => call.includes('~generation'))).toHaveLength(3)
  })

  test('a read that confirms only a miss finds what was written after the clear', async () => {
    const { one, two, calls } = setup()
    const options = { consistency: 'strong', confirmGeneration: 'on-miss' } as const
    await one.set('k', 'old')
    expect(await two.get('k', options)).toBe('old')
    calls.length = 0
    await two.get('k', options)
    expect(calls).toHaveLength(1)
    await one.clear()
    await one.set('new', 1)
    expect(await two.get('new', options)).toBe(1)
    expect((await two.snapshot('k', options)).value).toBeUndefined()
  })

  test('strong reads and writes of one turn share the confirmation', async () => {
    const { one, calls } = setup()
    await one.set('k', 1)
    calls.length = 0
    const strong = { consistency: 'strong' } as const
    await Promise.all([one.get('a', strong), one.get('b', strong), one.set('c', 1)])
    expect(calls.filter((call) => call.includes('~generation'))).toHaveLength(3)
  })

  test('a clock that is set back does not delay the next read of the id', async () => {
    const { one, two, advance } = setup()
    await one.set('k', 'old')
    advance(3_600_000)
    await one.get('k')
    advance(-3_600_000)
    await two.clear()
    expect(await one.get('k')).toBeUndefined()
  })

  test('a value of a foreign type under the reserved keys is replaced', async () => {
    const { createCache } = setup()
    const raw = memory()
    let isForeign = true
    const store = wrapStore(raw, async (operation, call, [key]) => {
      if (!String(key).includes('~generation')) return call()
      if (operation === 'set') isForeign = false
      if (operation === 'get' && isForeign) return undefined as never
      return call()
    })
    delete (store as { scan?: unknown }).scan
    raw.setMany(['q:~generation', 'q:~generation1', 'q:~generation2'].map((key) => [key, '[]']))
    const cache = new Cache(store, { prefix: 'q:' })
    await cache.set('k', 1)
    expect(await cache.get('k')).toBe(1)
    await createCache().close()
  })

  test('close waits for calls that are reading the id', async () => {
    const { one, two } = setup()
    await one.set('k', 1)
    const reading = two.get('k')
    await Promise.all([reading, two.close()])
    expect(await reading).toBe(1)
  })

  test('without generations the keys have the prefix only, and clear rejects', async () => {
    const { backend } = setup()
    const store = wrapStore(backend, (_, call) => call())
    delete (store as { scan?: unknown }).scan
    const cache = new Cache(store, { prefix: 'app:', generations: false })
    await cache.namespace('users').set('1', 'Ada')
    expect(backend.get('app:users:1')).toBe('"Ada"')
    await expect(cache.clear()).rejects.toMatchObject({ code: 'ERR_CACHE_UNSUPPORTED' })
  })

  test('a clear also deletes what was written before it and not awaited', async () => {
    const slow = wrapStore(memory(), async (operation, call, [key]) => {
      if (operation === 'set' && String(key).endsWith(':b')) await sleep(20)
      return call()
    })
    delete (slow as { scan?: unknown }).scan
    const cache = new Cache(slow as CacheStore, { prefix: 'app:' })
    await cache.set('a', 1)
    const writing = cache.set('b', 2)
    await cache.clear()
    await writing
    expect(await cache.getMany(['a', 'b'])).toEqual([undefined, undefined])
  })

  test('a starting process works while every copy of the first set is unreachable', async () => {
    const { two, fault } = setup()
    fault.isDown = (key) => idKeys.includes(key)
    await two.set('k', 1)
    expect(await two.get('k')).toBe(1)
    await expect(two.add('lock', 1)).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
  })

  // The outage may affect this process only, and another one may have cleared.
  test('a process does not restore the id after an outage, even if it was in use', async () => {
    const { one, two, loseId, advance, fault } = setup()
    await two.get('k')
    await one.set('k', 1)
    await two.clear()
    for (let refresh = 0; refresh < 2; refresh++) {
      advance(1_500)
      fault.isDown = (key) => key.includes('~generation')
      await one.get('k')
      await turn()
    }
    loseId()
    fault.isDown = () => false
    advance(1_000)
    await one.get('k')
    await turn()
    expect(await one.get('k')).toBeUndefined()
  })

  test('two concurrent clears both succeed', async () => {
    const { one, two } = setup()
    await one.set('k', 1)
    await Promise.all([one.clear(), two.clear()])
    expect([await one.get('k'), await two.get('k')]).toEqual([undefined, undefined])
  })

  test('a read of the generation in flight during a clear does not undo it', async () => {
    const { one, calls } = setup()
    const reading = one.get('k')
    await one.clear()
    await reading
    await one.set('k', 1)
    const written = calls.findLast((call) => call.startsWith('set app:') && !call.includes('~'))
    calls.length = 0
    await one.get('k')
    expect(`set ${calls[0]?.slice(4)}`).toBe(written)
    expect(await one.get('k')).toBe(1)
  })

  test('keys() rejects with ERR_CACHE_UNSUPPORTED', async () => {
    const { one } = setup()
    await expect(one.keys().next()).rejects.toMatchObject({
      code: 'ERR_CACHE_UNSUPPORTED',
      message: expect.stringMatching(/ keys failed: .* tags/),
    })
  })
})
