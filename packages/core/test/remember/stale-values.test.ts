import { Cache, CacheError } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { ManualClock } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { eventsDuring } from './events.ts'
import { gate, settle, twoProcesses } from './two-processes.ts'

const stores = {
  'a shared backend': () => {
    const { a, clock, writes } = twoProcesses()
    return { cache: a, clock, writes }
  },
  memory: () => {
    const clock = new ManualClock()
    return { cache: new Cache(memory({ clock }), { clock }), clock, writes: [] }
  },
  'memory by reference': () => {
    const clock = new ManualClock()
    const store = memory({ clock, values: 'shared' })
    return { cache: new Cache(store, { clock }), clock, writes: [] }
  },
}

describe.each(Object.entries(stores))('on %s', (_, create) => {
  const stale = { ttl: '1m', staleWhileRevalidate: '1m' } as const

  test('staleWhileRevalidate returns the stale value at once, and refreshes it once', async () => {
    const { cache, clock } = create()
    await cache.remember('k', stale, () => 'old')
    await clock.advance(60_000)
    expect(await cache.get('k')).toBeUndefined()
    const loaded = gate<string>()
    let loads = 0
    const load = () => {
      loads++
      return loaded.opened
    }
    const calls = [1, 2, 3].map(() => cache.remember('k', stale, load))
    expect(await Promise.all(calls)).toEqual(['old', 'old', 'old'])
    await settle()
    expect(await cache.remember('k', stale, load)).toBe('old')
    loaded.open('new')
    await settle()
    expect(await cache.get('k')).toBe('new')
    expect(loads).toBe(1)
  })

  test('a value beyond its stale window is loaded again', async () => {
    const { cache, clock } = create()
    await cache.remember('k', stale, () => 'old')
    await clock.advance(120_000)
    expect(await cache.remember('k', stale, () => 'new')).toBe('new')
  })

  test('the window of the caller applies, even if the value was stored with a longer one', async () => {
    const { cache, clock } = create()
    await cache.remember('k', { ttl: '1m', staleWhileRevalidate: '1h' }, () => 'old')
    await clock.advance(120_000)
    expect(await cache.remember('k', { ttl: '1m' }, () => 'new')).toBe('new')
    expect(await cache.get('k')).toBe('new')
  })

  test('staleIfError returns the stale value if the load fails, and pauses for the backoff', async () => {
    const { cache, clock } = create()
    const options = { ttl: '1m', staleIfError: '1h', backoff: '10s' } as const
    await cache.remember('k', options, () => 'old')
    await clock.advance(60_000)
    let loads = 0
    const fail = () => {
      loads++
      throw new Error('database down')
    }
    const errors = await eventsDuring('stowage:error', async () => {
      expect(await cache.remember('k', options, fail)).toBe('old')
    })
    expect(errors).toMatchObject([{ error: { message: 'database down' } }])
    expect(await cache.remember('k', options, fail)).toBe('old')
    expect(loads).toBe(1)
    await clock.advance(10_000)
    expect(await cache.remember('k', options, () => 'new')).toBe('new')
  })

  test('without a stale value, a backoff rejects the next calls with ERR_CACHE_LOAD', async () => {
    const { cache, clock } = create()
    const fail = () => {
      throw new Error('database down')
    }
    await expect(cache.remember('k', { backoff: '1s' }, fail)).rejects.toThrow('database down')
    await expect(cache.remember('k', {}, () => 'value')).rejects.toMatchObject({
      code: 'ERR_CACHE_LOAD',
      retryable: true,
    })
    await clock.advance(1_000)
    expect(await cache.remember('k', {}, () => 'value')).toBe('value')
  })

  test('a write during a refresh is not overwritten', async () => {
    const { cache, clock } = create()
    for (const change of ['set', 'delete'] as const) {
      await cache.set('k', 'x')
      await cache.delete('k')
      await cache.remember('k', stale, () => 'old')
      await clock.advance(60_000)
      const loaded = gate<string>()
      await cache.remember('k', stale, () => loaded.opened)
      await settle()
      await cache[change]('k', 'written')
      loaded.open('refreshed')
      await settle()
      expect(await cache.get('k')).toBe(change === 'set' ? 'written' : undefined)
    }
  })

  test('expire makes a value stale, or deletes it if it has no stale window', async () => {
    const { cache } = create()
    await cache.remember('windowed', stale, () => 'old')
    await cache.set('plain', 'old')
    expect(await cache.expire('windowed')).toBe(true)
    expect(await cache.expire('plain')).toBe(true)
    expect(await cache.expire('missing')).toBe(false)
    expect(await cache.get('windowed')).toBeUndefined()
    expect(await cache.remember('windowed', stale, () => 'new')).toBe('old')
    expect(await cache.remember('plain', stale, () => 'new')).toBe('new')
    await settle()
    expect(await cache.get('windowed')).toBe('new')
  })

  test('refresh: true loads even if the value is fresh', async () => {
    const { cache } = create()
    await cache.remember('k', {}, () => 'old')
    expect(await cache.remember('k', { refresh: true }, () => 'new')).toBe('new')
    expect(await cache.get('k')).toBe('new')
    const fail = () => {
      throw new Error('database down')
    }
    const failing = { refresh: true, backoff: 0 } as const
    await expect(cache.remember('k', failing, fail)).rejects.toThrow('database down')
    expect(await cache.remember('k', { ...failing, staleIfError: '1h' }, fail)).toBe('new')
    expect(await cache.get('k')).toBe('new')
  })

  test('the loader receives the stale value and its validators, and may declare it fresh', async () => {
    const { cache, clock } = create()
    await cache.remember('k', { ...stale, tags: ['t'] }, (context) => {
      expect([context.key, context.stale, context.background]).toEqual(['k', undefined, false])
      context.setValidators({ etag: '"1"', lastModified: 'Sat, 21 Nov 2026 00:00:00 GMT' })
      return { name: 'Ada' }
    })
    await clock.advance(60_000)
    const seen: unknown[] = []
    await cache.remember<{ name: string }>('k', stale, (context) => {
      seen.push(context.stale, context.etag, context.lastModified, context.background)
      return context.notModified()
    })
    await settle()
    expect(seen).toEqual([{ name: 'Ada' }, '"1"', 'Sat, 21 Nov 2026 00:00:00 GMT', true])
    expect(await cache.get('k')).toEqual({ name: 'Ada' })
    await clock.advance(60_000)
    await cache.remember('k', stale, ({ etag }) => String(etag))
    await settle()
    expect(await cache.get('k')).toBe('"1"')
    await cache.invalidateTags('t')
    expect(await cache.get('k')).toBe('"1"') // stored by a load without the tag
  })

  test('the ttl may depend on the value, and a loader may set it or skip the value', async () => {
    const { cache, clock } = create()
    const ttl = (value: string) => (value === 'short' ? '1s' : '1h') as '1s' | '1h'
    await cache.remember('a', { ttl }, () => 'short')
    await cache.remember('b', { ttl }, () => 'long')
    await cache.remember('c', { ttl: '1h' }, (context) => {
      context.setTtl('1s')
      return 'short'
    })
    const skipped = await cache.remember('d', { ttl: '1h' }, (context) => {
      context.skip()
      return 'skipped'
    })
    expect(skipped).toBe('skipped')
    expect(await cache.has('d')).toBe(false)
    await clock.advance(1_000)
    expect(await cache.getMany(['a', 'b', 'c'])).toEqual([undefined, 'long', undefined])
  })

  test('jitter only shortens the ttl', async () => {
    const { cache, clock } = create()
    const keys = Array.from({ length: 50 }, (_, index) => `k${index}`)
    for (const key of keys) await cache.remember(key, { ttl: 1_000, jitter: 0.5 }, () => 1)
    await clock.advance(499)
    expect(await cache.getMany(keys)).not.toContain(undefined)
    await clock.advance(501)
    expect(new Set(await cache.getMany(keys))).toEqual(new Set([undefined]))
    await expect(cache.remember('k', { jitter: 2 }, () => 1)).rejects.toThrow(TypeError)
  })
})

describe('a caller with a limit', () => {
  test('receives the stale value after its timeout, and the load goes on', async () => {
    const { a: cache, clock } = twoProcesses()
    const options = { ttl: '1m', staleIfError: '1h', timeout: 20 } as const
    await cache.remember('k', options, () => 'old')
    await clock.advance(60_000)
    const loaded = gate<string>()
    const load = () => loaded.opened
    expect(await cache.remember('k', options, load)).toBe('old')
    loaded.open('new')
    await settle()
    expect(await cache.get('k')).toBe('new')
  })

  test('receives ERR_CACHE_TIMEOUT if there is no value', async () => {
    const { a: cache } = twoProcesses()
    const loaded = gate<string>()
    const load = () => loaded.opened
    const other = cache.remember('k', {}, load)
    await expect(cache.remember('k', { timeout: 20 }, load)).rejects.toMatchObject({
      code: 'ERR_CACHE_TIMEOUT',
      retryable: true,
    })
    loaded.open('value')
    expect(await other).toBe('value')
  })

  test('receives an error with the whole key, as that of a load has', async () => {
    const cache = new Cache(memory(), { prefix: 'users:' })
    const call = cache.remember('7', { timeout: 5 }, () => new Promise<string>(() => {}))
    await expect(call).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT', key: 'users:7' })
    await cache.close()
  })

  test('leaves when its signal aborts; the load is aborted when the last caller has left', async () => {
    const { a: cache, backend } = twoProcesses()
    const aborts = [new AbortController(), new AbortController()]
    let signal: AbortSignal | undefined
    const load = (context: { signal: AbortSignal }) => {
      signal = context.signal
      return new Promise<string>(() => {})
    }
    const calls = aborts.map((abort) => cache.remember('k', { signal: abort.signal }, load))
    const outcomes = Promise.allSettled(calls)
    await settle()
    aborts[0]?.abort(new Error('left'))
    await settle()
    expect(signal?.aborted).toBe(false)
    aborts[1]?.abort(new Error('left too'))
    expect(await outcomes).toMatchObject([
      { status: 'rejected', reason: { message: 'left' } },
      { status: 'rejected', reason: { message: 'left too' } },
    ])
    expect(signal?.aborted).toBe(true)
    await settle()
    expect(await cache.remember('k', {}, () => 'again')).toBe('again')
    expect(await backend.get('k')).toBeDefined()
  })

  test('a signal that has aborted already rejects at once', async () => {
    const { a: cache } = twoProcesses()
    const signal = AbortSignal.abort(new Error('left'))
    await expect(cache.remember('k', { signal }, () => 1)).rejects.toThrow('left')
  })
})

describe('loadTimeout', () => {
  test('ends a load that never ends, and frees the key', async () => {
    const { a: cache, b } = twoProcesses()
    let signal: AbortSignal | undefined
    const hanging = cache.remember('k', { loadTimeout: 30 }, (context) => {
      signal = context.signal
      return new Promise<string>(() => {})
    })
    await expect(hanging).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
    expect(signal?.reason).toBeInstanceOf(CacheError)
    expect(await cache.remember('k', {}, () => 'a')).toBe('a')
    expect(await b.remember('k', {}, () => 'b')).toBe('b')
  })
})

test('concurrent calls of a new process read the clock of the backend once', async () => {
  const { a, backend, clock } = twoProcesses()
  await a.remember('k', { ttl: '1m', staleWhileRevalidate: '1m' }, () => 'value')
  let readings = 0
  const time = async () => {
    readings++
    return clock.now()
  }
  const cache = new Cache(
    Object.assign(
      wrapStore(backend, (_, call) => call()),
      { time },
    ),
  )
  const calls = Array.from({ length: 10 }, () => cache.get('k'))
  expect(await Promise.all(calls)).toEqual(Array(10).fill('value'))
  expect(readings).toBe(1)
})

test('the callers of a turn receive the stale value before its refresh begins', async () => {
  const { a, clock, reads } = twoProcesses()
  const options = { ttl: '1m', staleWhileRevalidate: '1m' } as const
  await a.remember('k', options, () => 'old')
  await clock.advance(60_000)
  reads.length = 0
  const seen = await Promise.all(
    [1, 2, 3].map(async () => {
      expect(await a.remember('k', options, () => 'new')).toBe('old')
      return reads.length
    }),
  )
  expect(seen).toEqual([3, 3, 3])
  await settle()
  expect(await a.get('k')).toBe('new')
})

test('a private value is not shared with other callers', async () => {
  const { a: cache } = twoProcesses()
  const answers = await Promise.all(
    ['ada', 'grace', 'edsger'].map((user) =>
      cache.remember('page', {}, async (context) => {
        await settle()
        context.skip({ share: false })
        return `private page of ${user}`
      }),
    ),
  )
  expect(answers).toEqual(['ada', 'grace', 'edsger'].map((user) => `private page of ${user}`))
  expect(await cache.has('page')).toBe(false)
})

test('that a stale value has no successor for one caller is not shared with others', async () => {
  const { a: cache, clock } = twoProcesses()
  await cache.remember('page', { ttl: '1m', staleIfError: '1h' }, () => 'page for all')
  await clock.advance(60_000)
  const answers = await Promise.all(
    [undefined, 'page of grace'].map((page) =>
      cache.remember('page', { ttl: '1m', staleIfError: '1h' }, async (context) => {
        await settle()
        context.skip({ share: false })
        return page
      }),
    ),
  )
  expect(answers).toEqual([undefined, 'page of grace'])
})

test('a value that cannot be kept is loaded by processes at the same time, not one after another', async () => {
  const { a, b } = twoProcesses()
  await a.remember('k', {}, () => undefined)
  let loads = 0
  const ended = gate<undefined>()
  const load = () => {
    loads++
    return ended.opened
  }
  const calls = [a, b, a, b].map((cache) => cache.remember('k', {}, load))
  await expect.poll(() => loads).toBe(2)
  ended.open(undefined)
  await Promise.all(calls)
})

test('close aborts a refresh in the background, and waits for it', async () => {
  const { a: cache, clock } = twoProcesses()
  const options = { ttl: '1m', staleWhileRevalidate: '1h' } as const
  await cache.remember('k', options, () => 'old')
  await clock.advance(60_000)
  let signal: AbortSignal | undefined
  await cache.remember('k', options, (context) => {
    signal = context.signal
    return new Promise<string>(() => {})
  })
  await settle()
  await cache.close()
  expect(signal?.reason).toMatchObject({ code: 'ERR_CACHE_CLOSED' })
})

test('waitUntil receives the refreshes in the background', async () => {
  const clock = new ManualClock()
  const work: Promise<void>[] = []
  const waitUntil = (each: Promise<void>) => void work.push(each)
  const cache = new Cache(memory({ clock }), { clock, waitUntil })
  const options = { ttl: '1m', staleWhileRevalidate: '1h' } as const
  await cache.remember('k', options, () => 'old')
  await clock.advance(60_000)
  await cache.remember('k', options, () => 'new')
  expect(work).toHaveLength(1)
  await work[0]
  expect(await cache.get('k')).toBe('new')
})
