import { Cache, CacheError, type Duration } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { ManualClock, referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { gate, settle, twoProcesses } from './two-processes.ts'

/** A cache on a backend that, as Redis, accepts only a whole number of milliseconds. */
function strictBackend() {
  const clock = new ManualClock()
  const refused: unknown[] = []
  const store = wrapStore(referenceStore({ clock, async: true }), (operation, call, args) => {
    const numbers = (args as readonly unknown[]).filter((arg) => typeof arg === 'number')
    if (numbers.every(Number.isSafeInteger)) return call()
    refused.push([operation, ...numbers])
    throw new CacheError('ERR_CACHE_REJECTED', 'not a whole number', { store: 'x', operation })
  })
  return { cache: new Cache(store, { clock, ttl: '1m' }), clock, refused }
}

// 2.3 hours are 8279999.999999999 ms.
describe.each<Duration>([Infinity, '2.3h', 100_000 / 3, '10000w'])(
  'a duration of %s',
  (duration) => {
    test.each(['staleWhileRevalidate', 'staleIfError'] as const)('as %s', async (window) => {
      const { cache, clock, refused } = strictBackend()
      const options = { [window]: duration }
      expect(await cache.remember('k', options, () => 'value')).toBe('value')
      expect(await cache.remember('k', options, () => 'other')).toBe('value')
      expect(await cache.get('k')).toBe('value')
      const users = cache.collection('user', { load: () => 'loaded', ...options })
      await users.set('1', 'saved')
      expect(await users.get('1')).toBe('saved')
      await clock.advance(61_000)
      expect(await cache.get('k')).toBeUndefined()
      const failing = () => Promise.reject(new Error('down'))
      expect(await cache.remember('k', options, failing)).toBe('value')
      await settle()
      expect(refused).toEqual([])
    })

    test('as backoff', async () => {
      const { cache, refused } = strictBackend()
      const failing = () => cache.remember('k', { backoff: duration }, () => Promise.reject('down'))
      await expect(failing()).rejects.toBe('down')
      await expect(failing()).rejects.toMatchObject({ code: 'ERR_CACHE_LOAD' })
      expect(refused).toEqual([])
    })

    test('as the time for which a value is not stored', async () => {
      const { cache, refused } = strictBackend()
      let loads = 0
      const load = () =>
        cache.remember('k', {}, (context) => {
          context.skip({ for: duration })
          return ++loads
        })
      expect([await load(), await load()]).toEqual([1, 2])
      expect(refused).toEqual([])
    })
  },
)

test.each(['ERR_CACHE_LIMIT', 'ERR_CACHE_REJECTED'] as const)(
  'after %s for the write of a value, other processes do not wait for the lease',
  async (code) => {
    const { b, backend } = twoProcesses()
    const a = new Cache(
      wrapStore(backend, (operation, call, args) => {
        if (operation === 'compareAndSet' && String(args[2]) === '"value"') {
          throw new CacheError(code, 'refused', { store: 'x', operation })
        }
        return call()
      }),
    )
    const loaded = gate<string>()
    const loading = a.remember('k', {}, () => loaded.opened)
    await settle()
    const waiting = b.remember('k', {}, () => 'of b')
    loaded.open('value')
    expect(await loading).toBe('value')
    expect(await a.remember('k', {}, () => 'again')).toBe('again')
    await waiting
  },
)
