import { Cache, CacheError, type LoadContext, type RememberOptions } from '@stowage/core'
import { type StoreOperation, wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { eventsDuring } from './events.ts'
import { gate, settle, twoProcesses } from './two-processes.ts'

const stale = { ttl: '1m', staleWhileRevalidate: '1h' } as const

function fail(): never {
  throw new Error('database down')
}

function unavailable(operation: string): CacheError {
  return new CacheError('ERR_CACHE_UNAVAILABLE', 'down', { store: 'x', operation })
}

/** Rejects if a call waits longer than any call of these tests should. */
async function soon<T>(call: Promise<T>): Promise<T> {
  const outcome = await Promise.race([
    call,
    settle()
      .then(settle)
      .then(() => 'late' as const),
  ])
  if (outcome === 'late') throw new Error('the call waits')
  return outcome as T
}

describe('loads that end badly leave the key free for other processes', () => {
  const endings: Readonly<Record<string, (context: LoadContext) => unknown>> = {
    'the loader throws': fail,
    'the codec cannot encode the value': () => 1n,
    'the loader sets an invalid ttl': (context) => {
      context.setTtl('soon' as never)
      return 1
    },
    'the loader adds an invalid tag': (context) => {
      context.addTags('')
      return 1
    },
    'the value is undefined': () => undefined,
  }
  const options: Readonly<Record<string, RememberOptions>> = {
    'the function for the ttl throws': { ttl: fail },
    'the function for the ttl returns an invalid one': { ttl: () => 'soon' as never },
    'the function for the tags throws': { tags: fail },
  }
  const cases = [
    ...Object.entries(endings).map(([name, load]) => [name, {}, load] as const),
    ...Object.entries(options).map(([name, each]) => [name, each, () => 1] as const),
  ]

  // FusionCache #644, #646: an error between the lock and its release left the key locked.
  test.each(cases)('%s', async (_, each, load) => {
    const { a, b } = twoProcesses({ ttl: '1h' })
    await a.remember('k', each, load).catch(() => {})
    expect(await soon(b.remember('k', {}, () => 'value'))).toBe('value')
  })

  test.each(cases)('%s, during the refresh of a stale value', async (_, each, load) => {
    const { a, b, clock } = twoProcesses({ ttl: '1h' })
    await a.remember('k', { ttl: '1m', staleIfError: '1h' }, () => 'old')
    await clock.advance(60_000)
    const refreshing = { backoff: 0, staleIfError: '1h', ...each } as const
    await a.remember('k', refreshing, load).catch(() => {})
    expect(await soon(b.remember('k', {}, () => 'value'))).toBe('value')
  })

  // rueidis #1010: a caller that gave up released the lock with the context that it had cancelled.
  test('the last caller gives up', async () => {
    const { a, b } = twoProcesses()
    const controller = new AbortController()
    const call = a.remember('k', { signal: controller.signal }, () => new Promise(() => {}))
    call.catch(() => {})
    await settle()
    controller.abort(new Error('gone'))
    await expect(call).rejects.toThrow('gone')
    await settle()
    expect(await soon(b.remember('k', {}, () => 'value'))).toBe('value')
  })
})

describe('a caller that gives up', () => {
  // FusionCache #608: callers that cancelled while they waited were logged as failures.
  test('is not published as a failure', async () => {
    const { a, b } = twoProcesses()
    const loaded = gate<string>()
    const first = a.remember('k', {}, () => loaded.opened)
    await settle()
    const errors = await eventsDuring('stowage:error', async () => {
      const call = b.remember('k', { signal: AbortSignal.timeout(5) }, () => 'other')
      await expect(call).rejects.toThrow('timeout')
    })
    expect(errors).toEqual([])
    loaded.open('value')
    expect(await first).toBe('value')
  })

  // FusionCache #218: a cancelled request ended the refresh that its hit had begun, and the key stayed locked.
  test('does not end the refresh that its stale hit has begun', async () => {
    const { a, b, clock } = twoProcesses()
    await a.remember('k', stale, () => 'old')
    await clock.advance(60_000)
    const controller = new AbortController()
    const loaded = gate<string>()
    const options = { ...stale, signal: controller.signal }
    let signal: AbortSignal | undefined
    const load = (context: LoadContext) => {
      signal = context.signal
      return loaded.opened
    }
    expect(await a.remember('k', options, load)).toBe('old')
    await settle()
    controller.abort()
    expect(signal?.aborted).toBe(false)
    loaded.open('new')
    await settle()
    expect(await b.get('k')).toBe('new')
  })

  // lru-cache: the signal of the first caller aborted the load of all.
  test('does not end the load of a caller without a signal', async () => {
    const { a } = twoProcesses()
    const controller = new AbortController()
    const loaded = gate<string>()
    const load = () => loaded.opened
    const first = a.remember('k', { signal: controller.signal }, load)
    first.catch(() => {})
    await settle()
    const second = a.remember('k', {}, load)
    await settle()
    controller.abort(new Error('gone'))
    loaded.open('value')
    await expect(first).rejects.toThrow('gone')
    expect(await second).toBe('value')
    expect(await a.get('k')).toBe('value')
  })
})

// lru-cache #320, #274: the eviction of a key aborted its load.
test('a backend that evicts the key during a load does not abort it', async () => {
  const cache = new Cache(memory({ maxEntries: 2 }))
  const loaded = gate<string>()
  const signals: AbortSignal[] = []
  const call = cache.remember('k', {}, ({ signal }) => {
    signals.push(signal)
    return loaded.opened
  })
  for (let other = 0; other < 10; other++) await cache.set(`other ${other}`, other)
  loaded.open('value')
  expect(await call).toBe('value')
  expect(signals.map(({ aborted }) => aborted)).toEqual([false])
  expect(await cache.get('k')).toBe('value')
})

// cacheable coalesceAsync: one map of loads for the whole process, by the text of the key.
test('caches over different stores do not share loads', async () => {
  const caches = [1, 2].map(() => new Cache(referenceStore({ async: true })))
  const values = caches.map((cache, index) => cache.remember('k', {}, () => `value ${index}`))
  expect(await Promise.all(values)).toEqual(['value 0', 'value 1'])
})

// Caffeine #373, #212: a refresh that hung kept the old value beyond its expiry.
test('a refresh that hangs does not keep the old value beyond its window', async () => {
  const { a, b, clock } = twoProcesses()
  await a.remember('k', stale, () => 'old')
  await clock.advance(60_000)
  expect(await a.remember('k', stale, () => new Promise<string>(() => {}))).toBe('old')
  await settle()
  await clock.advance(3_600_000)
  for (const cache of [a, b]) expect(await cache.get('k')).toBeUndefined()
  expect(await soon(a.remember('k', stale, () => 'new'))).toBe('new')
  expect(await b.get('k')).toBe('new')
})

// Laravel: a lock of 0 seconds never ended.
test('a lease that would never end, or end at once, is an error', async () => {
  const { a } = twoProcesses()
  for (const lease of [0, -1, Number.NaN, Infinity]) {
    await expect(a.remember('k', { lease }, () => 1)).rejects.toThrow(TypeError)
  }
})

// FusionCache #651: a refresh went to the database although another node had stored a fresh value.
test('a process does not refresh what another one has refreshed since it read the value', async () => {
  const { a, b, clock, backend } = twoProcesses()
  await a.remember('k', stale, () => 'old')
  await clock.advance(60_000)
  const old = await backend.get('k')
  let reads = 0
  const late = new Cache(
    wrapStore(backend, (operation, call) =>
      operation === 'get' && reads++ === 0 ? (old as never) : call(),
    ),
    { clock },
  )
  expect(await b.remember('k', { ...stale, refresh: true }, () => 'new')).toBe('new')
  let loads = 0
  const value = await late.remember('k', stale, () => `loaded ${++loads}`)
  await settle()
  expect([value, loads, await a.get('k')]).toEqual(['old', 0, 'new'])
})

describe('what was invalidated', () => {
  const removals: Readonly<Record<string, (cache: Cache) => Promise<unknown>>> = {
    delete: (cache) => cache.delete('k'),
    clear: (cache) => cache.clear(),
    invalidateTags: (cache) => cache.invalidateTags('t'),
  }
  const options = { ...stale, staleIfError: '1h', tags: ['t'] } as const

  // FusionCache #648, bentocache #115: an expired entry was served after a clear, or once after a deletion by tag.
  test.each(Object.entries(removals))('by %s is not served stale', async (_, remove) => {
    const { a, b, clock } = twoProcesses({ prefix: 'app:' })
    await a.remember('k', options, () => 'old')
    await clock.advance(60_000)
    await remove(b)
    await expect(a.remember('k', options, fail)).rejects.toThrow('database down')
    expect(await a.remember('k', { ...options, refresh: true }, () => 'new')).toBe('new')
  })

  // FusionCache #638: notModified() made a value fresh again that its tag had invalidated.
  test.each(Object.entries(removals))('by %s is not offered to the loader', async (_, remove) => {
    const { a, b, clock } = twoProcesses({ prefix: 'app:' })
    await a.remember('k', options, (context) => {
      context.setValidators({ etag: '"1"' })
      return 'old'
    })
    await clock.advance(60_000)
    await remove(b)
    const load = (context: LoadContext<string>) => {
      expect([context.stale, context.etag]).toEqual([undefined, undefined])
      return context.notModified()
    }
    await expect(a.remember('k', options, load)).rejects.toThrow('notModified() needs')
  })
})

// ocache #57: entries without a stale window were served stale without end.
test('a value without a stale window is not served after its ttl', async () => {
  const { a, clock } = twoProcesses()
  await a.remember('k', { ttl: '1m' }, () => 'old')
  await clock.advance(60_000)
  await expect(a.remember('k', stale, fail)).rejects.toThrow('database down')
})

// HybridCache: a failed read of a tag counted as its invalidation, for ever.
test('a failed read of a tag does not invalidate its entries', async () => {
  const { a, backend } = twoProcesses()
  let isFailing = false
  const failing = new Cache(
    wrapStore(backend, (operation, call, [key]) => {
      if (isFailing && String(key).includes('~tag:')) throw unavailable(operation)
      return call()
    }),
  )
  await failing.set('k', 'value', { tags: ['t'] })
  isFailing = true
  await expect(failing.get('k')).rejects.toThrow('down')
  expect(await failing.remember('k', { tags: ['t'] }, () => 'loaded')).toBe('loaded')
  isFailing = false
  for (const cache of [failing, a]) expect(await cache.get('k')).toBe('value')
})

// Redisson #775: after one attempt that failed, a lock was not renewed any more.
test('a renewal that fails is followed by others', async () => {
  const { b, backend } = twoProcesses()
  let failures = 0
  const a = new Cache(
    wrapStore(backend, (operation, call) => {
      if (operation === 'compareAndSet' && failures++ < 2) throw unavailable(operation)
      return call()
    }),
  )
  const loaded = gate<string>()
  const first = a.remember('k', { lease: 60 }, () => loaded.opened)
  await expect.poll(() => failures).toBeGreaterThan(3)
  loaded.open('value')
  expect(await first).toBe('value')
  expect(await b.get('k')).toBe('value')
})

describe('a failing store', () => {
  const operations: readonly StoreOperation[] = ['get', 'add', 'compareAndSet', 'set', 'touch']

  // cache-manager: the error of a store in the background was an unhandled rejection, which ends the process.
  // Vitest fails if a rejection is not handled.
  test.each(operations)('leaves no rejection unhandled if %s fails', async (broken) => {
    for (const isAsync of [true, false]) {
      const { backend, a, clock } = twoProcesses()
      const failing = wrapStore(backend, (operation, call) => {
        if (operation !== broken) return call()
        if (isAsync) return Promise.reject(unavailable(operation))
        throw unavailable(operation)
      })
      const options = { ...stale, tags: ['t'] }
      await a.remember('k', options, () => 'old')
      await clock.advance(60_000)
      const cache = new Cache(failing, { clock })
      const calls = [
        cache.remember('k', options, () => 'new'),
        cache.remember('k', { ...options, refresh: true }, () => 'new'),
        cache.remember('other', { tags: () => ['u'] }, () => 'new'),
        cache.rememberMany(['k', 'x'], options, (keys) => keys.map(() => 'new')),
        cache.set('k', 'new', { tags: ['t'] }),
        cache.replace('k', 'new', { tags: ['t'] }),
        cache.replace('k', 'new', { tags: [''] }),
        cache.update('k', () => 'new', { tags: ['t'] }),
        cache.get('k'),
      ]
      await Promise.allSettled(calls)
      await settle()
      expect(await Promise.race([calls[0], 'waits'])).not.toBe('waits')
    }
  })
})

// unstorage: "/api?user=1" and "/api?user=2" had one key, and so had "a/b", "a:b" and "a\b".
// keyv: with the namespace "ns", "a" and "ns:a" were one key.
test('keys that differ have different entries', async () => {
  const keys = ['/api?user=1', '/api?user=2', 'a/b', 'a:b', 'a\\b', 'a', 'ns:a', 'A', ' a', 'a#1']
  const cache = new Cache(referenceStore(), { prefix: 'ns:' })
  await Promise.all(keys.map((key) => cache.remember(key, {}, () => `value of ${key}`)))
  expect(await cache.getMany(keys)).toEqual(keys.map((key) => `value of ${key}`))
})
