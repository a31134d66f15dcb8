import { Cache, type RememberOptions } from '@stowage/core'
import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { ManualClock, referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { gate, settle } from './two-processes.ts'

interface Backend {
  readonly a: Cache
  readonly b: Cache
  readonly clock: ManualClock
  readonly backend: ByteStore
}

/** @param hide a method that the backend does not have */
function sharedBackend(hide?: 'getWithTtl'): Backend {
  const clock = new ManualClock()
  const backend = referenceStore({ clock })
  const connect = () => {
    const store: Partial<ByteStore> = wrapStore(backend, (_, call) => call())
    if (hide !== undefined) delete store[hide]
    return new Cache(store as ByteStore, { clock })
  }
  return { a: connect(), b: connect(), clock, backend }
}

function inMemory(): Backend {
  const clock = new ManualClock()
  const backend = memory({ clock })
  const cache = new Cache(backend, { clock })
  return { a: cache, b: cache, clock, backend }
}

const backends = {
  'a shared backend': () => sharedBackend(),
  'a backend that does not reveal the rest of a ttl': () => sharedBackend('getWithTtl'),
  memory: inMemory,
}

type Write = (cache: Cache) => Promise<unknown>

/** How the entry was stored. The same call stores the same value again. */
const writes: Readonly<Record<string, Write>> = {
  set: (cache) => cache.set('k', 'old'),
  update: (cache) => cache.update('k', () => 'old'),
  'set with a tag': (cache) => cache.set('k', 'old', { tags: ['t'] }),
  remember: (cache) => cache.remember('k', { ttl: '1h' }, () => 'old'),
  'remember with validators': (cache) =>
    cache.remember('k', {}, (context) => {
      context.setValidators({ etag: '"1"' })
      return 'old'
    }),
  'remember until a date': (cache) =>
    cache.remember('k', { ttl: new Date(1e13), staleWhileRevalidate: '1h' }, () => 'old'),
  'remember with a stale window': (cache) =>
    cache.remember('k', { ttl: '1h', staleWhileRevalidate: '1h' }, () => 'old'),
}

const removals: Readonly<Record<string, Write>> = {
  'a delete': (cache) => cache.delete('k'),
  'another value': (cache) => cache.set('k', 'other').then(() => cache.delete('k')),
  'a clear': (cache) => cache.clear(),
}

/** Begins a refresh whose load does not end by itself. */
function beginRefresh(cache: Cache, options: RememberOptions<string> = {}) {
  const loaded = gate<string>()
  const begun = gate()
  const value = cache.remember('k', { refresh: true, ...options }, () => {
    begun.open()
    return loaded.opened
  })
  value.catch(() => {})
  return { loaded, begun: begun.opened, value }
}

describe.each(Object.entries(backends))('on %s', (_, create) => {
  for (const [name, write] of Object.entries(writes)) {
    test.each(Object.entries(removals))(
      `a refresh of a value stored by ${name} is not stored over the same value after %s`,
      async (_, remove) => {
        const { a, b } = create()
        await write(b)
        const refresh = beginRefresh(a)
        await refresh.begun
        await remove(b)
        await write(b)
        refresh.loaded.open('loaded before the delete')
        expect(await refresh.value).toBe('loaded before the delete')
        expect(await b.get('k')).toBe('old')
      },
    )
  }

  test('two refreshes at once share one load', async () => {
    const { a, b } = create()
    await b.set('k', 'old')
    let loads = 0
    const load = () => `loaded ${++loads}`
    const values = [a, b].map((cache) => cache.remember('k', { refresh: true }, load))
    expect(await Promise.all(values)).toContain('loaded 1')
    expect(await b.get('k')).toBe(`loaded ${loads}`)
  })
})

describe.each(Object.entries({ 'a shared backend': sharedBackend, memory: inMemory }))(
  'on %s',
  (_, create) => {
    test('during a refresh, other callers read the old value', async () => {
      const { a, b } = create()
      await b.set('k', 'old')
      const refresh = beginRefresh(a)
      await refresh.begun
      expect(await b.get('k')).toBe('old')
      // In the same process, a call joins the refresh.
      if (b !== a) expect(await b.remember('k', {}, () => 'other')).toBe('old')
      refresh.loaded.open('new')
      expect(await refresh.value).toBe('new')
      expect(await b.get('k')).toBe('new')
    })

    test('a failed refresh leaves the old value for the rest of its ttl', async () => {
      const { a, b, clock } = create()
      await b.set('k', 'old', { ttl: '1m' })
      await clock.advance(20_000)
      const refresh = beginRefresh(a)
      await refresh.begun
      refresh.loaded.fail(new Error('database down'))
      await expect(refresh.value).rejects.toThrow('database down')
      await clock.advance(39_000)
      expect(await b.get('k')).toBe('old')
      await clock.advance(1_001)
      expect(await b.get('k')).toBeUndefined()
    })

    test('a refresh that waits for a failed one loads the value itself', async () => {
      const { a, b } = create()
      await b.set('k', 'old')
      const first = beginRefresh(a, { backoff: 0 })
      await first.begun
      const second = b.remember('k', { refresh: true }, () => 'new')
      await settle()
      first.loaded.fail(new Error('database down'))
      await expect(first.value).rejects.toThrow('database down')
      expect(await second).toBe('new')
    })

    test('the loader receives the old value, which staleIfError permits', async () => {
      const { a, b } = create()
      await b.set('k', 'old')
      const value = a.remember('k', { refresh: true, staleIfError: '1h' }, ({ stale }) => {
        throw new Error(`${stale} failed`)
      })
      expect(await value).toBe('old')
      expect(await b.get('k')).toBe('old')
    })
  },
)

describe('on a backend that does not reveal the rest of a ttl', () => {
  test('a refresh first deletes a value that has no id of its own', async () => {
    const { a, b } = sharedBackend('getWithTtl')
    await b.set('k', 'old')
    const refresh = beginRefresh(a)
    await refresh.begun
    expect(await b.get('k')).toBeUndefined()
    const waiting = b.remember('k', {}, () => 'other')
    refresh.loaded.open('new')
    expect(await waiting).toBe('new')
  })

  test('a value with a stale window, tags or validators stays readable', async () => {
    const { a, b } = sharedBackend('getWithTtl')
    await b.set('k', 'old', { tags: ['t'] })
    const refresh = beginRefresh(a)
    await refresh.begun
    expect(await b.get('k')).toBe('old')
    refresh.loaded.fail(new Error('database down'))
    await expect(refresh.value).rejects.toThrow('database down')
    expect(await b.get('k')).toBe('old')
  })
})

test('a value that a refresh stores again does not exist longer if the request is late', async () => {
  const { backend, b, clock } = sharedBackend()
  const late = wrapStore(backend, async (operation, call) => {
    if (operation === 'compareAndSet') await clock.advance(200)
    return call()
  })
  await b.set('k', 'old', { ttl: 300 })
  const refresh = beginRefresh(new Cache(late, { clock }))
  await refresh.begun
  expect(await b.get('k')).toBe('old')
  await clock.advance(101)
  expect(await backend.get('k')).toBeDefined()
  expect(await b.get('k')).toBeUndefined()
  expect(await b.remember('k', { staleWhileRevalidate: '1h' }, () => 'new')).toBe('new')
})

test('a stated end that is too late does not extend the ttl', async () => {
  const { backend, b, clock } = sharedBackend()
  const ahead = {
    now: () => clock.now() + 3_600_000,
    monotonic: () => clock.monotonic(),
    sleep: clock.sleep.bind(clock),
  }
  const other = new Cache(backend, { clock: ahead })
  await other.remember('k', { ttl: '1m', staleWhileRevalidate: '1m' }, () => 'old')
  await beginRefresh(b).begun
  await clock.advance(120_001)
  expect(await backend.get('k')).toBeUndefined()
})
