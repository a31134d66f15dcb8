import { Cache, type CacheStore, createCaches, withBatching, withTimeout } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'

/** Returns a store whose keys cannot be listed, as on memcached. */
const withoutScan = () => referenceStore({ scan: false })

const stores: Readonly<Record<string, () => CacheStore>> = {
  'a store of a driver': () => memory(),
  'a store of entries': () => memory({ values: 'shared' }),
  'an asynchronous store': () => referenceStore({ async: true }),
  wrapStore: () => wrapStore(memory(), (_, call) => call()),
  withTimeout: () => withTimeout(memory(), '1s'),
  withBatching: () => withBatching(memory()),
  'several wrappers': () =>
    withTimeout(withBatching(wrapStore(memory(), (_, call) => call())), '1s'),
}

const closed = { code: 'ERR_CACHE_CLOSED' }

describe('await using', () => {
  test.each(Object.keys(stores))('closes %s', async (name) => {
    const store = stores[name]?.() as CacheStore
    {
      await using disposable = store
      await disposable.ping()
    }
    await expect(Promise.resolve().then(() => store.ping())).rejects.toMatchObject(closed)
  })

  test('closes a store if the block throws', async () => {
    const store = memory()
    const block = async () => {
      await using disposable = store
      disposable.set('k', 'v')
      throw new Error('from the block')
    }
    await expect(block()).rejects.toThrow('from the block')
    expect(() => store.get('k')).toThrow(expect.objectContaining(closed))
  })

  test('sends the pending batches before it closes the store', async () => {
    const calls: string[] = []
    const recorded = wrapStore(referenceStore({ async: true }), (operation, call) => {
      calls.push(operation)
      return call()
    })
    let write: unknown
    {
      await using store = withBatching(recorded)
      write = store.set('k', 'v')
    }
    await write
    expect(calls).toEqual(['set', 'close'])
  })

  test.each([memory, withoutScan])('closes a cache with a prefix (%o)', async (create) => {
    const store = create()
    {
      await using cache = new Cache(store, { prefix: 'app:' })
      await cache.set('k', 1)
      await using users = cache.namespace('users')
      expect(await users.get('k')).toBeUndefined()
    }
    await expect(new Cache(store).get('k')).rejects.toMatchObject(closed)
  })

  test('closes all caches that were created', async () => {
    const store = memory()
    const create = () => createCaches({ default: 'a', stores: { a: () => store } })
    {
      await using caches = create()
      await caches.use().set('k', 1)
    }
    await expect(new Cache(store).get('k')).rejects.toMatchObject(closed)
  })
})

test('a store that cannot be closed does not keep the invalidation bus open', async () => {
  let isClosed = false
  const bus = {
    connected: true,
    publish() {},
    subscribe: async () => () => {},
    close: async () => {
      isClosed = true
    },
  }
  const store = Object.assign(memory(), { close: () => Promise.reject(new Error('lost')) })
  const cache = new Cache(store, { near: { bus: () => bus } })
  await expect(cache.close()).rejects.toThrow('lost')
  expect(isClosed).toBe(true)
})
