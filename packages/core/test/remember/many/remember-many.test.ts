import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { ReferenceStore, referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { gate, settle } from '../two-processes.ts'
import { counting } from './counting.ts'

const stores = {
  memory: () => memory(),
  reference: () => referenceStore(),
  'asynchronous reference': () => referenceStore({ async: true }),
  'reference without scan': () => referenceStore({ async: true, scan: false }),
}

describe.each(Object.entries(stores))('on the %s store, rememberMany', (_, create) => {
  test('loads the missing keys by one call, and keeps the order of the keys', async () => {
    const cache = new Cache(create(), { prefix: 'p:' })
    const { asked, load } = counting()
    await cache.set('b', 'stored')
    expect(await cache.rememberMany(['a', 'b', 'c'], {}, load)).toEqual(['a 1', 'stored', 'c 1'])
    expect(asked).toEqual([['a', 'c']])
    expect(await cache.rememberMany(['c', 'b', 'a'], {}, load)).toEqual(['c 1', 'stored', 'a 1'])
    expect(asked).toHaveLength(1)
  })

  test('loads a repeated key once, and returns it at each position', async () => {
    const cache = new Cache(create())
    const { asked, load } = counting()
    expect(await cache.rememberMany(['a', 'b', 'a'], {}, load)).toEqual(['a 1', 'b 1', 'a 1'])
    const refreshed = await cache.rememberMany(['a', 'a'], { refresh: true }, load)
    expect(refreshed).toEqual(['a 2', 'a 2'])
    const missing = await cache.rememberMany(['c', 'c'], { refresh: true }, load)
    expect(missing).toEqual(['c 3', 'c 3'])
    expect(asked).toEqual([['a', 'b'], ['a'], ['c']])
  })

  test('accepts an array in the order of the missing keys', async () => {
    const cache = new Cache(create())
    const load = (missing: readonly string[]) => missing.map((key) => key.toUpperCase())
    expect(await cache.rememberMany(['a', 'b'], {}, load)).toEqual(['A', 'B'])
    await expect(cache.rememberMany(['c', 'd'], {}, () => ['C'])).rejects.toThrow(/2 missing keys/)
    const wrong = () => ({ c: 'C' }) as never
    await expect(cache.rememberMany(['c', 'd'], {}, wrong)).rejects.toThrow(TypeError)
  })

  test('returns undefined for a key without a value, and does not store it', async () => {
    const cache = new Cache(create())
    const load = async () => new Map([['b', 'B']])
    expect(await cache.rememberMany(['a', 'b'], {}, load)).toEqual([undefined, 'B'])
    expect(await cache.getMany(['a', 'b'])).toEqual([undefined, 'B'])
    expect(await cache.rememberMany(['a', 'b'], {}, () => ['A'])).toEqual(['A', 'B'])
  })

  test('shares loads with remember and rememberMany', async () => {
    const cache = new Cache(create())
    const loaded = gate<string>()
    const asked: string[] = []
    const loadMany = async (missing: readonly string[]) => {
      asked.push(...missing)
      const value = await loaded.opened
      return missing.map(() => value)
    }
    const calls = [
      cache.rememberMany(['a', 'b'], {}, loadMany),
      cache.rememberMany(['b', 'c'], {}, loadMany),
      cache.remember('a', {}, () => 'other'),
    ]
    await settle()
    const late = cache.remember('c', {}, () => 'other')
    await settle()
    loaded.open('value')
    expect(await Promise.all([...calls, late])).toEqual([
      ['value', 'value'],
      ['value', 'value'],
      'value',
      'value',
    ])
    expect(asked).toEqual(['a', 'b', 'c'])
  })

  test('does not call the loader without a missing key', async () => {
    const cache = new Cache(create())
    const { asked, load } = counting()
    expect(await cache.rememberMany([], {}, load)).toEqual([])
    await cache.set('a', null)
    expect(await cache.rememberMany(['a'], {}, load)).toEqual([null])
    expect(asked).toEqual([])
  })
})

test('the jitter of the ttl is drawn for each key', async () => {
  const store = new ReferenceStore({ clock: { now: () => 0, sleep: async () => {} } })
  const keys = Array.from({ length: 20 }, (_, index) => `key ${index}`)
  await new Cache(store).rememberMany(keys, { ttl: '1h', jitter: 0.5 }, () => keys)
  const ttls = keys.map((key) => store.items.get(key)?.expiresAt)
  expect(new Set(ttls).size).toBeGreaterThan(10)
})

test('every caller and every position receives a value of its own', async () => {
  const cache = new Cache(referenceStore({ async: true }))
  const load = (missing: readonly string[]) => missing.map(() => ({ tags: ['a'] }))
  const calls = [cache.rememberMany(['1', '1'], {}, load), cache.rememberMany(['1'], {}, load)]
  const [first, second, third] = (await Promise.all(calls)).flat()
  first?.tags.push('changed')
  expect([second, third]).toEqual([{ tags: ['a'] }, { tags: ['a'] }])
  const hits = await cache.rememberMany(['1', '1'], {}, load)
  hits[0]?.tags.push('changed')
  expect(hits[1]).toEqual({ tags: ['a'] })
})

test('rememberMany rejects invalid keys and options before it begins a load', async () => {
  const cache = new Cache(referenceStore({ async: true }))
  const { asked, load } = counting()
  await expect(cache.rememberMany(['1', ''], {}, load)).rejects.toThrow(TypeError)
  await expect(cache.rememberMany(['1'], { jitter: 2 }, load)).rejects.toThrow(/jitter/)
  await expect(cache.rememberMany(['1'], { timeout: 'x' } as never, load)).rejects.toThrow()
  expect(await cache.rememberMany(['1'], {}, load)).toEqual(['1 1'])
  expect(asked).toEqual([['1']])
})
