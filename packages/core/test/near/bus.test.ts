import { Cache, channels } from '@stowage/core'
import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { ReferenceStore } from '@stowage/testing'
import { describe, expect, test, vi } from 'vitest'
import { world } from './near-world.ts'
import { TestBus } from './test-bus.ts'

describe('bus', () => {
  test('neither serves nor keeps anything while the bus is disconnected', async () => {
    const { cache, bus, store } = await world()
    await cache.set('k', 1)
    await cache.get('k')
    bus.connected = false // Before the listeners are called.
    store.set('app:k', '2')
    expect(await cache.get('k')).toBe(2)
    bus.disconnect()
    await cache.get('k')
    store.set('app:k', '3')
    bus.reconnect()
    expect(await cache.get('k')).toBe(3)
  })

  test('after a reconnect, reads each entry once, and loads nothing', async () => {
    const { cache, bus, calls } = await world()
    const keys = ['a', 'b', 'c']
    for (const key of keys) await cache.remember(key, { ttl: '1m' }, () => key)
    for (const key of keys) await cache.get(key)
    bus.disconnect()
    bus.reconnect()
    calls.length = 0
    const fail = () => Promise.reject(new Error('loads'))
    for (let round = 0; round < 3; round++) {
      for (const key of keys) expect(await cache.remember(key, { ttl: '1m' }, fail)).toBe(key)
    }
    expect(calls).toEqual(['getWithTtl', 'getWithTtl', 'getWithTtl'])
  })

  test('keeps only strong reads of a store with replicas, because another read may be older than a message', async () => {
    const inner = new ReferenceStore()
    const reads: unknown[] = []
    const lagging: ByteStore = Object.assign(
      wrapStore(inner as ByteStore, (operation, call, args) => {
        if (operation === 'getWithTtl') reads.push(args[1])
        return call()
      }),
      { consistencyToken: () => 'token' },
    )
    const bus = new TestBus()
    const cache = new Cache(lagging, { near: { bus } })
    for (let read = 0; read < 2; read++) await cache.get('k')
    bus.disconnect()
    await cache.get('k')
    await new Cache(lagging, { near: {} }).get('k')
    const strong = { consistency: 'strong', confirmGeneration: false }
    expect(reads).toEqual([undefined, strong, undefined, undefined])
  })

  test('drops what another process has changed', async () => {
    const { cache, bus, store } = await world()
    await cache.set('k', 1)
    await cache.get('k')
    store.set('app:k', '2')
    bus.deliver(['app:other'])
    expect(await cache.get('k')).toBe(1)
    bus.deliver(['app:k'])
    expect(await cache.get('k')).toBe(2)
  })

  test.each([
    ['its key', ['app:k']],
    ['everything', undefined],
    ['its prefix', ['app:~generation']],
  ])('does not keep a read that was sent before an invalidation of %s', async (_, keys) => {
    const { cache, bus, store, holdRead } = await world()
    await cache.set('k', 1)
    const release = holdRead()
    const reading = cache.get('k')
    await new Promise(setImmediate)
    store.set('app:k', '2')
    bus.deliver(keys)
    release()
    expect(await reading).toBe(1)
    expect(await cache.get('k')).toBe(2)
  })

  test('keeps a read that was sent after the invalidation, beside an older one', async () => {
    const { cache, bus, store, calls, holdRead } = await world()
    await cache.set('k', 1)
    const release = holdRead()
    const older = cache.get('k')
    await new Promise(setImmediate)
    store.set('app:k', '2')
    bus.deliver(['app:k'])
    const newer = cache.get('k')
    await new Promise(setImmediate)
    release()
    expect(await Promise.all([older, newer])).toEqual([1, 2])
    calls.length = 0
    expect(await cache.get('k')).toBe(2)
    expect(calls).toEqual([])
  })

  test('announces writes that may have changed an entry, after they are done', async () => {
    const { cache, bus } = await world()
    await cache.set('k', 1)
    await cache.add('k', 2)
    await cache.add('added', 2)
    await cache.touch('missing')
    await cache.increment('n')
    await cache.deleteMany(['k', 'n'])
    expect(bus.published).toEqual(['app:k', 'app:added', 'app:n', 'app:k', 'app:n'])
  })

  test('announces a load once, not its lease', async () => {
    const { cache, bus } = await world()
    await cache.remember('k', { ttl: '1m' }, () => 1)
    expect(bus.published).toEqual(['app:k'])
  })

  test('announces failed writes, and reports what cannot be announced', async () => {
    const { cache, bus, store } = await world()
    vi.spyOn(store, 'set').mockImplementation(() => {
      throw new Error('no reply')
    })
    await expect(cache.set('k', 1)).rejects.toThrow('no reply')
    expect(bus.published).toEqual(['app:k'])
    const errors: unknown[] = []
    const listener = (event: unknown) => errors.push(event)
    channels.error.subscribe(listener)
    bus.connected = false
    await cache.delete('k')
    channels.error.unsubscribe(listener)
    expect(errors).toMatchObject([{ key: 'app:k', error: { message: 'disconnected' } }])
  })

  test('subscribes at the first read, and unsubscribes on close', async () => {
    const bus = new TestBus()
    const cache = new Cache(new ReferenceStore(), { near: { bus } })
    expect(bus.subscriptions).toBe(0)
    await cache.get('k')
    expect(bus.subscriptions).toBe(1)
    await cache.close()
    expect(cache.near?.stats.serving).toBe(false)
  })
})
