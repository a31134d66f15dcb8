import { structured } from '@stowage/core'
import { describe, expect, test } from 'vitest'
import { world } from './near-world.ts'

describe('values', () => {
  test('frozen: a mutation throws, and nobody sees it', async () => {
    const { cache } = await world()
    await cache.set('k', { list: [{ n: 1 }] })
    const first = (await cache.get('k')) as { list: { n: number }[] }
    expect(() => first.list.push({ n: 2 })).toThrow(TypeError)
    expect(() => {
      const [item] = first.list
      if (item !== undefined) item.n = 2
    }).toThrow(TypeError)
    expect(await cache.get('k')).toBe(first)
    expect(first).toEqual({ list: [{ n: 1 }] })
  })

  test('frozen: values that cannot be frozen are decoded for each caller', async () => {
    const { cache, calls } = await world({}, { codec: structured() })
    const value = { at: new Date(0), bytes: Buffer.of(1, 2), map: new Map([['a', 1]]) }
    await cache.set('k', value)
    const first = (await cache.get('k')) as typeof value
    calls.length = 0
    first.at.setTime(1)
    first.bytes[0] = 9
    first.map.clear()
    expect(await cache.get('k')).toEqual(value)
    expect(calls).toEqual([])
  })

  test('copied: each caller may modify its value', async () => {
    const { cache, calls } = await world({ values: 'copied' })
    await cache.set('k', { n: 1 })
    const first = (await cache.get('k')) as { n: number }
    first.n = 2
    calls.length = 0
    expect(await cache.get('k')).toEqual({ n: 1 })
    expect(calls).toEqual([])
  })

  test('shared: all callers receive the same value', async () => {
    const { cache } = await world({ values: 'shared' })
    await cache.set('k', { n: 1 })
    const first = (await cache.get('k')) as { n: number }
    first.n = 2
    expect(await cache.get('k')).toBe(first)
  })

  test('keeps what a decode gives, also in the process that wrote it', async () => {
    const { cache } = await world()
    await cache.set('k', { at: new Date(0), gone: undefined })
    const value = await cache.get('k')
    expect(value).toEqual({ at: '1970-01-01T00:00:00.000Z' })
    expect(await cache.get('k')).toBe(value)
  })

  test('frozen: a value may have more levels than the call stack', async () => {
    const { cache } = await world()
    const levels = 3_000
    await cache.set('k', JSON.parse('['.repeat(levels) + ']'.repeat(levels)))
    const value = await cache.get('k')
    expect([(await cache.get('k')) === value, Object.isFrozen(value)]).toEqual([true, true])
  })

  test('returns null, and keeps misses out', async () => {
    const { cache, calls, store } = await world()
    await cache.set('null', null)
    await cache.get('null')
    calls.length = 0
    expect(await cache.get('null')).toBeNull()
    expect(calls).toEqual([])
    expect(await cache.get('missing')).toBeUndefined()
    store.set('app:missing', '1')
    expect(await cache.get('missing')).toBe(1)
  })
})
