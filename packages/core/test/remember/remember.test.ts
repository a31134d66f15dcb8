import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { setImmediate as turn } from 'node:timers/promises'
import { Cache, CacheError, type CacheEvent, type CacheStore, json } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'

describe('when the store fails', () => {
  test('returns the loaded value after a failed read, without a write, and publishes the failure', async () => {
    const { store, calls } = failing('get')
    const events = await eventsDuring('stowage:error', async () => {
      expect(await new Cache(store, { name: 'pages' }).remember('k', {}, () => 'loaded')).toBe(
        'loaded',
      )
    })
    expect(calls).toEqual(['get'])
    const error = { code: 'ERR_CACHE_UNAVAILABLE' }
    expect(events).toMatchObject([{ cache: 'pages', store: 'memory', key: 'k', error }])
  })

  test('returns the loaded value after a failed write, and publishes the failure', async () => {
    const { store } = failing('add')
    const events = await eventsDuring('stowage:error', async () => {
      expect(await new Cache(store).remember('k', {}, () => 1)).toBe(1)
    })
    expect(events).toHaveLength(1)
  })

  test('returns a loaded value that is too large for the store', async () => {
    const cache = new Cache(memory({ maxValueBytes: 10 }))
    expect(await cache.remember('k', {}, () => 'x'.repeat(100))).toHaveLength(100)
  })

  test('get and pull reject', async () => {
    const cache = new Cache(failing('get').store)
    await expect(cache.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
    await expect(cache.pull('k')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
  })
})

describe('remember rejects', () => {
  test('after close', async () => {
    const cache = new Cache(memory())
    await cache.close()
    await expect(cache.remember('k', {}, () => 1)).rejects.toMatchObject({
      code: 'ERR_CACHE_CLOSED',
    })
  })

  test('if the codec cannot encode the loaded value', async () => {
    const cache = new Cache(memory())
    await expect(cache.remember('k', {}, () => () => {})).rejects.toMatchObject({
      code: 'ERR_CACHE_CODEC',
    })
  })

  test('every waiting caller if the load fails, and the next call loads again', async () => {
    const cache = new Cache(memory())
    let loads = 0
    const load = async () => {
      loads++
      throw new Error('database down')
    }
    const outcomes = await Promise.allSettled([1, 2, 3].map(() => cache.remember('k', {}, load)))
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    expect(loads).toBe(1)
    expect(await cache.remember('k', {}, () => 'up')).toBe('up')
  })
})

test('a ttl given as a date is evaluated after the load', async () => {
  let now = 1_000
  const clock = { now: () => now, sleep: async () => {} }
  const cache = new Cache(memory({ clock }), { clock })
  const load = () => {
    now = 1_600
    return 'slow'
  }
  await cache.remember('k', { ttl: new Date(2_000) }, load)
  now = 1_999
  expect(await cache.get('k')).toBe('slow')
  now = 2_000
  expect(await cache.get('k')).toBeUndefined()
})

describe('a load during which the key is changed', () => {
  const changes: Record<string, (cache: Cache) => Promise<unknown>> = {
    delete: (cache) => cache.delete('k'),
    deleteMany: (cache) => cache.deleteMany(['k']),
    set: (cache) => cache.set('k', 'new'),
    setMany: (cache) => cache.setMany([['k', 'new']]),
    update: (cache) => cache.update('k', () => 'new'),
    'touch with an expired ttl': (cache) => cache.touch('k', { ttl: 0 }),
    clear: (cache) => cache.clear(),
  }

  test.each(Object.keys(changes))(
    'by %s returns its value, but is not stored or joined',
    async (change) => {
      const cache = new Cache(memory())
      let finish: (value: string) => void = () => {}
      const slow = cache.remember(
        'k',
        {},
        () => new Promise<string>((resolve) => (finish = resolve)),
      )
      await new Promise((resolve) => setImmediate(resolve))
      await changes[change]?.(cache)
      expect(await cache.remember('k', {}, () => 'new')).toBe('new')
      finish('old')
      expect(await slow).toBe('old')
      expect(await cache.get('k')).toBe('new')
    },
  )

  test('by clear of the cache is not stored in a namespace either', async () => {
    const cache = new Cache(memory())
    const users = cache.namespace('users')
    const load = async () => {
      await cache.clear()
      return 'old'
    }
    expect(await users.remember('1', {}, load)).toBe('old')
    expect(await users.get('1')).toBeUndefined()
  })
})

describe('loads that wait for each other', () => {
  test('a load that calls remember for its own key runs that loader unshared', async () => {
    const cache = new Cache(memory())
    const outer = cache.remember('k', {}, () => cache.remember('k', {}, () => 'inner'))
    expect(await outer).toBe('inner')
  })

  test('two loads that call remember for each other complete', async () => {
    const cache = new Cache(memory())
    const load = (key: string, other: string) =>
      cache.remember(key, {}, async () => {
        await turn()
        return `${key} with ${await cache.remember(other, {}, () => other)}`
      })
    const loaded = await Promise.all([load('a', 'b'), load('b', 'a')])
    expect(loaded.join()).toMatch(/a with b/)
    expect(await cache.get('a')).toBe(loaded[0])
    expect(await cache.get('b')).toBe(loaded[1])
  })

  test('a loader that needs its own value without end rejects instead of running forever', async () => {
    const cache = new Cache(memory())
    const load = (): Promise<number> => cache.remember('k', {}, load)
    await expect(load()).rejects.toThrow(/calls itself without end/)
  })

  test('a recursive load visits each key once, however many paths lead to it', async () => {
    const cache = new Cache(memory())
    const fibonacci = (n: number): Promise<number> =>
      cache.remember(`fibonacci ${n}`, {}, async () => {
        if (n < 2) return n
        const [a, b] = await Promise.all([fibonacci(n - 1), fibonacci(n - 2)])
        return a + b
      })
    // Following each path separately would take years.
    expect(await fibonacci(78)).toBe(8_944_394_323_791_464)
  })

  test('calls made by a load that do not depend on it are shared', async () => {
    const cache = new Cache(memory())
    let loads = 0
    const shared = () => cache.remember('shared', {}, async () => ++loads)
    const outer = (key: string) => cache.remember(key, {}, async () => shared())
    expect(await Promise.all([outer('a'), outer('b'), shared()])).toEqual([1, 1, 1])
  })
})

describe('a write that falls into the read of remember', () => {
  const writes: Record<string, (cache: Cache) => Promise<unknown>> = {
    set: (cache) => cache.set('k', 'written'),
    setMany: (cache) => cache.setMany([['k', 'written']]),
    add: (cache) => cache.add('k', 'written'),
    update: (cache) => cache.update('k', () => 'written'),
    increment: (cache) => cache.increment('k', 7),
  }

  test.each(Object.keys(writes))('%s is not overwritten by the loaded value', async (name) => {
    const store = referenceStore({ async: true })
    const cache = new Cache(store, { prefix: 'p:' })
    const loading = cache.remember('k', {}, async () => {
      await turn()
      return 'loaded'
    })
    await writes[name]?.(cache)
    await loading
    expect(await cache.get('k')).not.toBe('loaded')
  })

  test('concurrent calls share one load however late their reads are answered', async () => {
    let isFirst = true
    const slow = wrapStore(referenceStore({ async: true }), async (operation, call) => {
      const result = await call()
      if (operation === 'get' && isFirst) {
        isFirst = false
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      return result
    })
    const cache = new Cache(slow)
    let loads = 0
    const load = async () => ++loads
    const both = [cache.remember('k', {}, load), cache.remember('k', {}, load)]
    expect(await Promise.all(both)).toEqual([1, 1])
  })
})

test('every caller that shares a load receives a value of its own', async () => {
  const cache = new Cache(referenceStore({ async: true }))
  const load = async () => ({ tags: ['a'] })
  const [first, second] = await Promise.all([
    cache.remember('k', {}, load),
    cache.remember('k', {}, load),
  ])
  first.tags.push('changed')
  expect(second).toEqual({ tags: ['a'] })
})

test('a load returns what a later hit returns', async () => {
  const cache = new Cache(memory())
  const remember = () =>
    cache.remember<unknown>('k', {}, () => ({ at: new Date(0), none: undefined }))
  expect(await remember()).toEqual({ at: '1970-01-01T00:00:00.000Z' })
  expect(await remember()).toEqual({ at: '1970-01-01T00:00:00.000Z' })
})

test('a value that the codec cannot encode is an error with store and key, also while the store fails', async () => {
  const expected = { code: 'ERR_CACHE_CODEC', store: 'memory', key: 'k' }
  const load = () => 5n
  await expect(new Cache(memory()).remember('k', {}, load)).rejects.toMatchObject(expected)
  const { store } = failing('get')
  await expect(new Cache(store).remember('k', {}, load)).rejects.toMatchObject(expected)
})

test('writes reach the loads of a namespace however many namespaces there are', async () => {
  const cache = new Cache(memory(), { prefix: 'app:' })
  let finish: (value: string) => void = () => {}
  const load = () => new Promise<string>((resolve) => (finish = resolve))
  const loading = cache.namespace('a').remember('k', {}, load)
  await turn()
  for (let i = 0; i < 1_001; i++) cache.namespace(`tenant ${i}`)
  await cache.namespace('a').delete('k')
  finish('old')
  await loading
  expect(await cache.namespace('a').get('k')).toBeUndefined()
})

test('caches over one store share loads and invalidate each other', async () => {
  const store = memory()
  const [one, two] = [new Cache(store, { prefix: 'p:' }), new Cache(store, { prefix: 'p:' })]
  let loads = 0
  const load = async () => ++loads
  expect(await Promise.all([one.remember('k', {}, load), two.remember('k', {}, load)])).toEqual([
    1, 1,
  ])
  const deleting = async () => {
    await two.delete('other')
    return 'old'
  }
  await one.remember('other', {}, deleting)
  expect(await one.get('other')).toBeUndefined()
})

test('an update through a cache with another codec object invalidates a load, like a set', async () => {
  const store = memory()
  const one = new Cache(store)
  const two = new Cache(store, { codec: { ...json() } })
  const updating = async () => {
    await two.update('k', () => 'updated')
    return 'loaded'
  }
  expect(await one.remember('k', {}, updating)).toBe('loaded')
  expect(await one.get('k')).toBe('updated')
})

test('1,000 concurrent replaces of one key all succeed', async () => {
  const cache = new Cache(referenceStore({ async: true }))
  await cache.set('k', -1)
  const replaced = await Promise.all(Array.from({ length: 1_000 }, (_, i) => cache.replace('k', i)))
  expect(replaced.every(Boolean)).toBe(true)
  expect(await cache.get('k')).toBe(999)
})

test('returns the loaded value if the cache was closed during the load', async () => {
  const cache = new Cache(memory())
  const load = async () => {
    await cache.close()
    return 42
  }
  expect(await cache.remember('k', {}, load)).toBe(42)
})

test('a namespace with a colon differs from a nested namespace', async () => {
  const cache = new Cache(memory())
  await cache.namespace('a:b').set('c', 1)
  expect(await cache.namespace('a').get('b:c')).toBeUndefined()
  expect(await cache.namespace('a').namespace('b').get('c')).toBeUndefined()
  await cache.namespace('a').clear()
  expect(await cache.namespace('a:b').get('c')).toBe(1)
})

test('update rejects with the reason if the key does not contain a cache entry', async () => {
  const foreign = wrapStore(memory(), (operation, call) => {
    if (operation === 'get') return undefined as never
    return operation === 'add' ? (false as never) : call()
  })
  const clock = { now: () => 0, sleep: async () => {} }
  await expect(new Cache(foreign, { clock }).update('k', () => 1)).rejects.toThrow(
    /not a cache entry/,
  )
})

test('namespaces with the same name share their loads in flight', async () => {
  const cache = new Cache(memory())
  let loads = 0
  const load = async () => ++loads
  const remember = () => cache.namespace('users').remember('1', {}, load)
  expect(await Promise.all([remember(), remember(), remember()])).toEqual([1, 1, 1])
})

test('publishes hits, misses, corrupt entries and loads with cache, store and key', async () => {
  const store = memory()
  const cache = new Cache(store, { name: 'pages', prefix: 'p:' })
  const event = { cache: 'pages', store: 'memory', key: 'p:k' }
  expect(await eventsDuring('stowage:miss', () => cache.get('k'))).toEqual([event])
  const loads = await eventsDuring('stowage:load', () => cache.remember('k', {}, () => 1))
  expect(loads).toEqual([{ ...event, durationMs: expect.any(Number) }])
  expect(await eventsDuring('stowage:hit', () => cache.get('k'))).toEqual([event])
  store.set('p:k', 'not json')
  expect(await eventsDuring('stowage:corrupt', () => cache.get('k'))).toEqual([event])
})

test('clear() waits for a loaded value that is being stored, and deletes it', async () => {
  const slow = wrapStore(referenceStore(), async (operation, call) => {
    if (operation === 'set') await new Promise((resolve) => setTimeout(resolve, 20))
    return call()
  })
  const cache = new Cache(slow, { prefix: 'p:' })
  const loading = cache.remember('k', {}, () => 'loaded')
  // The load is over, and its value is being stored.
  await turn()
  await Promise.all([cache.clear(), cache.namespace('other').clear()])
  expect(await cache.get('k')).toBeUndefined()
  expect(await loading).toBe('loaded')
})

/** Returns a store with one operation that always fails, and the operations that were called. */
function failing(operation: string): { store: CacheStore; calls: string[] } {
  const calls: string[] = []
  const store = wrapStore(memory(), (called, call) => {
    calls.push(called)
    if (called === operation) throw new CacheError('ERR_CACHE_UNAVAILABLE', 'unreachable')
    return call()
  })
  return { store, calls }
}

async function eventsDuring(channel: string, work: () => Promise<unknown>): Promise<CacheEvent[]> {
  const events: CacheEvent[] = []
  const listener = (event: unknown) => events.push(event as CacheEvent)
  subscribe(channel, listener)
  try {
    await work()
  } finally {
    unsubscribe(channel, listener)
  }
  return events
}
