import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Cache, CacheError, type CacheEvent, type CacheStore, wrapStore } from '@stowage/core'
import { memory } from '@stowage/memory'
import { describe, expect, test } from 'vitest'

describe('when the store fails', () => {
  test('a read that fails: the loader answers, nobody waits for a write, and it is published', async () => {
    const { store, calls } = failing('get')
    const events = await listening('stowage:error', async () => {
      expect(await new Cache(store, { name: 'pages' }).remember('k', {}, () => 'loaded')).toBe(
        'loaded',
      )
    })
    expect(calls).toEqual(['get'])
    const error = { code: 'ERR_CACHE_UNAVAILABLE' }
    expect(events).toMatchObject([{ cache: 'pages', store: 'memory', key: 'k', error }])
  })

  test('a write that fails: the loaded value is returned and the failure published', async () => {
    const { store } = failing('set')
    const events = await listening('stowage:error', async () => {
      expect(await new Cache(store).remember('k', {}, () => 1)).toBe(1)
    })
    expect(events).toHaveLength(1)
  })

  test('a value the store cannot take is returned all the same', async () => {
    const cache = new Cache(memory({ maxValueBytes: 10 }))
    expect(await cache.remember('k', {}, () => 'x'.repeat(100))).toHaveLength(100)
  })

  test('everything else throws', async () => {
    const cache = new Cache(failing('get').store)
    await expect(cache.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
    await expect(cache.pull('k')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
  })
})

describe('mistakes are not hidden', () => {
  test('a closed cache', async () => {
    const cache = new Cache(memory())
    await cache.close()
    await expect(cache.remember('k', {}, () => 1)).rejects.toMatchObject({
      code: 'ERR_CACHE_CLOSED',
    })
  })

  test('a value without representation', async () => {
    const cache = new Cache(memory())
    await expect(cache.remember('k', {}, () => () => {})).rejects.toMatchObject({
      code: 'ERR_CACHE_CODEC',
    })
  })

  test('a failing loader: those who waited get its error, the next call loads again', async () => {
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

test('a ttl given as a date counts from when the value is there', async () => {
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

describe('a load that is overtaken by a write', () => {
  const overtaken: Record<string, (cache: Cache) => Promise<unknown>> = {
    delete: (cache) => cache.delete('k'),
    deleteMany: (cache) => cache.deleteMany(['k']),
    set: (cache) => cache.set('k', 'new'),
    setMany: (cache) => cache.setMany([['k', 'new']]),
    update: (cache) => cache.update('k', () => 'new'),
    'a ttl that is over': (cache) => cache.touch('k', { ttl: 0 }),
    clear: (cache) => cache.clear(),
  }

  test.each(Object.keys(overtaken))('by %s is returned, not kept and not joined', async (way) => {
    const cache = new Cache(memory())
    let finish: (value: string) => void = () => {}
    const slow = cache.remember('k', {}, () => new Promise<string>((resolve) => (finish = resolve)))
    await new Promise((resolve) => setImmediate(resolve))
    await overtaken[way]?.(cache)
    expect(await cache.remember('k', {}, () => 'new')).toBe('new')
    finish('old')
    expect(await slow).toBe('old')
    expect(await cache.get('k')).toBe('new')
  })

  test('of the whole cache reaches its namespaces', async () => {
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

test('a load that asks for its own key finds itself loading', async () => {
  const cache = new Cache(memory())
  let loads = 0
  const inner: Promise<unknown>[] = []
  const load = () => {
    loads++
    inner.push(cache.remember('k', {}, load))
    return loads
  }
  expect(await cache.remember('k', {}, load)).toBe(1)
  expect(await Promise.all(inner)).toEqual([1])
})

test('what was loaded is returned though the cache was closed meanwhile', async () => {
  const cache = new Cache(memory())
  const load = async () => {
    await cache.close()
    return 42
  }
  expect(await cache.remember('k', {}, load)).toBe(42)
})

test('a namespace with a colon is not one within another', async () => {
  const cache = new Cache(memory())
  await cache.namespace('a:b').set('c', 1)
  expect(await cache.namespace('a').get('b:c')).toBeUndefined()
  expect(await cache.namespace('a').namespace('b').get('c')).toBeUndefined()
  await cache.namespace('a').clear()
  expect(await cache.namespace('a:b').get('c')).toBe(1)
})

test('a key that holds something else ends an update with the reason', async () => {
  const foreign = wrapStore(memory(), (operation, call) => {
    if (operation === 'get') return undefined as never
    return operation === 'add' ? (false as never) : call()
  })
  const clock = { now: () => 0, sleep: async () => {} }
  await expect(new Cache(foreign, { clock }).update('k', () => 1)).rejects.toThrow(/no entry/)
})

test('namespaces asked for by name share their flights', async () => {
  const cache = new Cache(memory())
  let loads = 0
  const load = async () => ++loads
  const ask = () => cache.namespace('users').remember('1', {}, load)
  expect(await Promise.all([ask(), ask(), ask()])).toEqual([1, 1, 1])
})

test('hits, misses, corrupt entries and loads are published with cache, store and key', async () => {
  const store = memory()
  const cache = new Cache(store, { name: 'pages', prefix: 'p:' })
  const about = { cache: 'pages', store: 'memory', key: 'p:k' }
  const during = async (channel: string, work: () => unknown) => {
    const events = await listening(channel, async () => void (await work()))
    return events
  }
  expect(await during('stowage:miss', () => cache.get('k'))).toEqual([about])
  const loads = await during('stowage:load', () => cache.remember('k', {}, () => 1))
  expect(loads).toEqual([{ ...about, durationMs: expect.any(Number) }])
  expect(await during('stowage:hit', () => cache.get('k'))).toEqual([about])
  store.set('p:k', 'not json')
  expect(await during('stowage:corrupt', () => cache.get('k'))).toEqual([about])
})

/** A store of which one operation always fails, and the operations it was asked for. */
function failing(operation: string): { store: CacheStore; calls: string[] } {
  const calls: string[] = []
  const store = wrapStore(memory(), (called, call) => {
    calls.push(called)
    if (called === operation) throw new CacheError('ERR_CACHE_UNAVAILABLE', 'gone')
    return call()
  })
  return { store, calls }
}

async function listening(channel: string, work: () => Promise<void>): Promise<CacheEvent[]> {
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
