import { Cache, compressed, encrypted, failover, json, nullStore, withTimeout } from '@stowage/core'
import { withKeyOrder } from '@stowage/core/driver'
import type { Finding, StoreDiagnostics } from '@stowage/core/tools'
import { checkBackend, inspectKey } from '@stowage/core/tools'
import { memory } from '@stowage/memory'
import { ManualClock } from '@stowage/testing'
import { describe, expect, test } from 'vitest'

describe('inspect', () => {
  test('returns the size, ttl and frame, and not the value', async () => {
    const clock = new ManualClock()
    const cache = new Cache(memory({ clock }), { prefix: 'app:', clock })
    await cache.set('text', 'secret', { ttl: '1m' })
    const found = await inspectKey(cache, 'text')
    expect(found).toMatchObject({ storageKey: 'app:text', state: 'fresh', bytes: 8, frame: 'text' })
    expect(found).toMatchObject({ ttlMs: 60_000, tags: [], location: undefined })
    expect(JSON.stringify(found)).not.toContain('secret')
    expect(await inspectKey(cache, 'other')).toMatchObject({ state: 'missing', bytes: undefined })
  })

  test('tells an entry whose tag was invalidated', async () => {
    const cache = new Cache(memory())
    await cache.set('k', 1, { tags: ['a', 'b'] })
    const both = [true, true]
    expect((await inspectKey(cache, 'k')).tags.map(({ isCurrent }) => isCurrent)).toEqual(both)
    await cache.invalidateTags('b')
    expect(await inspectKey(cache, 'k')).toMatchObject({
      state: 'invalid',
      frame: 'entry',
      tags: [
        { name: 'a', isCurrent: true },
        { name: 'b', isCurrent: false },
      ],
    })
  })

  test('tells a stale entry', async () => {
    const clock = new ManualClock()
    const cache = new Cache(memory({ clock }), { clock })
    await cache.remember('k', { ttl: '1m', staleWhileRevalidate: '1h' }, () => 1)
    expect((await inspectKey(cache, 'k')).state).toBe('fresh')
    await clock.advance(61_000)
    expect((await inspectKey(cache, 'k')).state).toBe('stale')
  })

  test('tells compressed, encrypted and foreign payloads, and entries by reference', async () => {
    const store = memory()
    const keys = [`1:${Buffer.alloc(32, 1).toString('base64')}`]
    const frames = [
      [compressed(json(), { from: 10 }), 'compressed'],
      [encrypted(json(), { keys }), 'encrypted'],
    ] as const
    for (const [codec, frame] of frames) {
      await new Cache(store, { codec }).set('k', 'x'.repeat(100))
      expect(await inspectKey(new Cache(store, { codec }), 'k')).toMatchObject({
        state: 'fresh',
        frame,
      })
    }
    expect(await inspectKey(new Cache(store), 'k')).toMatchObject({ state: 'foreign' })
    const byReference = new Cache(memory({ values: 'shared' }))
    await byReference.set('k', {})
    const found = await inspectKey(byReference, 'k')
    expect(found).toMatchObject({ frame: 'reference', bytes: undefined })
  })

  test('recognises the mark of a failed load in a store that keeps references', async () => {
    const cache = new Cache(memory({ values: 'shared' }))
    const failing = () => Promise.reject(new Error('no'))
    await expect(cache.remember('k', { backoff: '1m' }, failing)).rejects.toThrow('no')
    expect(await inspectKey(cache, 'k')).toMatchObject({ state: 'mark' })
  })

  test('publishes neither a hit nor a miss', async () => {
    const { channels } = await import('@stowage/core')
    const cache = new Cache(memory())
    await cache.set('k', 1)
    const events: unknown[] = []
    const note = (event: unknown) => events.push(event)
    channels.hit.subscribe(note)
    channels.miss.subscribe(note)
    await inspectKey(cache, 'k')
    await inspectKey(cache, 'other')
    channels.hit.unsubscribe(note)
    channels.miss.unsubscribe(note)
    expect(events).toEqual([])
  })
})

describe('diagnostics', () => {
  const finding: Finding = {
    code: 'x',
    severity: 'error',
    subject: 's',
    problem: 'p',
    remedy: 'r',
  }
  const diagnostics: StoreDiagnostics = {
    check: async () => ({ servers: [], findings: [finding] }),
    locate: async (key) => `node of ${key}`,
  }
  const store = () => Object.assign(memory(), { diagnostics })

  test('pass through wrappers', async () => {
    const cache = new Cache(withTimeout(withKeyOrder(store()), '1s'), { prefix: 'p:' })
    expect((await checkBackend(cache))?.findings).toEqual([finding])
    expect((await inspectKey(cache, 'k')).location).toBe('node of p:k')
    expect(await checkBackend(new Cache(nullStore()))).toBeUndefined()
  })

  test('of a store that fails over are those of all its stores', async () => {
    const cache = new Cache(failover([store(), store(), memory()]))
    expect((await checkBackend(cache))?.findings).toHaveLength(2)
    expect((await inspectKey(cache, 'k')).location).toBe('node of k')
  })

  test('locate the key with the id of its generation', async () => {
    const cache = new Cache(withoutScan(store()), { prefix: 'p:' })
    await cache.set('k', 1)
    expect((await inspectKey(cache, 'k')).location).toMatch(/^node of p:.+k$/)
  })
})

/** The store without `scan`, as on memcached. */
function withoutScan<S extends object>(store: S): S {
  return new Proxy(store, {
    get: (target, name) => {
      if (name === 'scan') return undefined
      const value = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
