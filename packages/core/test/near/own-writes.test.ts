import { Cache } from '@stowage/core'
import { ReferenceStore } from '@stowage/testing'
import { describe, expect, test, vi } from 'vitest'
import { world } from './near-world.ts'

describe('own writes', () => {
  test('are seen at once, also by other near caches over the store', async () => {
    const store = new ReferenceStore()
    const [one, two] = [new Cache(store, { near: {} }), new Cache(store, { near: {} })]
    await one.set('k', 1)
    expect([await one.get('k'), await two.get('k')]).toEqual([1, 1])
    await two.set('k', 2)
    expect([await one.get('k'), await two.get('k')]).toEqual([2, 2])
  })

  test('a read during a write is not kept', async () => {
    const { cache, store, holdRead } = await world()
    await cache.set('k', 1)
    let written = () => {}
    const set = store.set.bind(store)
    vi.spyOn(store, 'set').mockImplementation((async (...args: Parameters<typeof set>) => {
      await new Promise<void>((resolve) => {
        written = resolve
      })
      set(...args)
    }) as never)
    const writing = cache.set('k', 2)
    await new Promise(setImmediate)
    const release = holdRead()
    const reading = cache.get('k')
    await new Promise(setImmediate)
    written()
    await writing
    release()
    expect(await reading).toBe(1)
    expect(await cache.get('k')).toBe(2)
  })

  test('clear() drops the prefix, and is announced', async () => {
    const { cache, bus } = await world()
    await cache.namespace('ns').set('k', 1)
    await cache.namespace('ns').get('k')
    await cache.clear()
    expect(await cache.namespace('ns').get('k')).toBeUndefined()
    expect(bus.published).toEqual(expect.arrayContaining(['app:ns:k', 'app:~generation']))
  })

  test('clear() also drops what another process has deleted, unannounced', async () => {
    const { cache, store } = await world()
    await cache.set('k', 1)
    await cache.get('k')
    store.delete('app:k')
    await cache.clear()
    expect(await cache.get('k')).toBeUndefined()
  })
})
