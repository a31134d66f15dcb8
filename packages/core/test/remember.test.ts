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
