import { Cache } from '@stowage/core'
import type { ByteStore } from '@stowage/core/driver'
import { referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { world } from './near-world.ts'

describe('serving', () => {
  test('serves repeated reads from memory, with every method that reads', async () => {
    const { cache, calls } = await world()
    await cache.set('k', { n: 1 })
    calls.length = 0
    expect(await cache.get('k')).toEqual({ n: 1 })
    expect(calls).toEqual(['getWithTtl'])
    expect(await cache.get('k')).toEqual({ n: 1 })
    expect(await cache.has('k')).toBe(true)
    expect(await cache.getMany(['k', 'k'])).toEqual([{ n: 1 }, { n: 1 }])
    const load = () => ({ n: 2 })
    expect(await cache.remember('k', {}, load)).toEqual({ n: 1 })
    expect(await cache.rememberMany<unknown>(['k'], {}, () => [])).toEqual([{ n: 1 }])
    expect(calls).toEqual(['getWithTtl'])
    expect(cache.near?.stats).toMatchObject({ entries: 1, bytes: 12, hits: 6, serving: true })
  })

  test('reads only the missing keys of getMany, in their order', async () => {
    const { cache, calls } = await world()
    await cache.setMany([
      ['a', 1],
      ['b', 2],
    ])
    await cache.get('b')
    calls.length = 0
    expect(await cache.getMany(['a', 'b', 'missing', 'a'])).toEqual([1, 2, undefined, 1])
    expect(await cache.getMany(['a', 'b'])).toEqual([1, 2])
    expect(calls).toEqual(['getWithTtl'])
  })

  test('is one for the namespaces and views of a cache', async () => {
    const { cache, calls } = await world()
    const users = cache.namespace('users')
    await users.set('1', 'Ada')
    await users.get('1')
    calls.length = 0
    expect(await cache.namespace('users').get('1')).toBe('Ada')
    expect(await cache.view({ ttl: '1m' }).namespace('users').get('1')).toBe('Ada')
    expect(calls).toEqual([])
  })

  test('does not return the value of another codec', async () => {
    const { cache } = await world()
    await cache.set('k', { n: 1 })
    await cache.get('k')
    const raw = cache.view({
      codec: { encode: () => '', decode: (bytes) => ({ value: Buffer.from(bytes) }) },
    })
    expect(String(await raw.get('k'))).toBe('{"n":1}')
    expect(await cache.get('k')).toEqual({ n: 1 })
  })

  test('bypasses the near cache for reads with a consistency', async () => {
    const { cache, calls } = await world()
    await cache.set('k', 1)
    await cache.get('k')
    calls.length = 0
    await cache.get('k', { consistency: 'eventual' })
    await cache.getMany(['k'], { consistency: 'strong' })
    expect(calls).toEqual(['get', 'getMany'])
  })

  test('is not used with a store of values by reference', () => {
    const store = referenceStore({})
    const shared = Object.create(store, { payload: { value: 'entry' } }) as ByteStore
    expect(new Cache(shared, { near: {} }).near).toBeUndefined()
  })
})
