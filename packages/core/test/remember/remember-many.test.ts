import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  BatchError,
  Cache,
  CacheError,
  type ErrorEvent,
  type LoadManyContext,
  wrapStore,
} from '@stowage/core'
import { memory } from '@stowage/memory'
import { ReferenceStore, referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { gate, settle, twoProcesses } from './two-processes.ts'

/** A loader that returns the key and the number of the load, and records what it was asked for. */
function counting() {
  const asked: (readonly string[])[] = []
  const load = async (missing: readonly string[]) => {
    asked.push(missing)
    return new Map(missing.map((key) => [key, `${key} ${asked.length}`]))
  }
  return { asked, load }
}

const stores = {
  memory: () => memory(),
  reference: () => referenceStore(),
  'asynchronous reference': () => referenceStore({ async: true }),
  'reference without scan': () => referenceStore({ async: true, scan: false }),
}

describe.each(Object.entries(stores))('on the %s store, rememberMany', (_, create) => {
  test('loads the missing keys by one call, and keeps the order of the keys', async () => {
    const cache = new Cache(create(), { prefix: 'p:' })
    const { asked, load } = counting()
    await cache.set('b', 'stored')
    expect(await cache.rememberMany(['a', 'b', 'c'], {}, load)).toEqual(['a 1', 'stored', 'c 1'])
    expect(asked).toEqual([['a', 'c']])
    expect(await cache.rememberMany(['c', 'b', 'a'], {}, load)).toEqual(['c 1', 'stored', 'a 1'])
    expect(asked).toHaveLength(1)
  })

  test('loads a repeated key once, and returns it at each position', async () => {
    const cache = new Cache(create())
    const { asked, load } = counting()
    expect(await cache.rememberMany(['a', 'b', 'a'], {}, load)).toEqual(['a 1', 'b 1', 'a 1'])
    const refreshed = await cache.rememberMany(['a', 'a'], { refresh: true }, load)
    expect(refreshed).toEqual(['a 2', 'a 2'])
    const missing = await cache.rememberMany(['c', 'c'], { refresh: true }, load)
    expect(missing).toEqual(['c 3', 'c 3'])
    expect(asked).toEqual([['a', 'b'], ['a'], ['c']])
  })

  test('accepts an array in the order of the missing keys', async () => {
    const cache = new Cache(create())
    const load = (missing: readonly string[]) => missing.map((key) => key.toUpperCase())
    expect(await cache.rememberMany(['a', 'b'], {}, load)).toEqual(['A', 'B'])
    await expect(cache.rememberMany(['c', 'd'], {}, () => ['C'])).rejects.toThrow(/2 missing keys/)
    const wrong = () => ({ c: 'C' }) as never
    await expect(cache.rememberMany(['c', 'd'], {}, wrong)).rejects.toThrow(TypeError)
  })

  test('returns undefined for a key without a value, and does not store it', async () => {
    const cache = new Cache(create())
    const load = async () => new Map([['b', 'B']])
    expect(await cache.rememberMany(['a', 'b'], {}, load)).toEqual([undefined, 'B'])
    expect(await cache.getMany(['a', 'b'])).toEqual([undefined, 'B'])
    expect(await cache.rememberMany(['a', 'b'], {}, () => ['A'])).toEqual(['A', 'B'])
  })

  test('shares loads with remember and rememberMany', async () => {
    const cache = new Cache(create())
    const loaded = gate<string>()
    const asked: string[] = []
    const loadMany = async (missing: readonly string[]) => {
      asked.push(...missing)
      const value = await loaded.opened
      return missing.map(() => value)
    }
    const calls = [
      cache.rememberMany(['a', 'b'], {}, loadMany),
      cache.rememberMany(['b', 'c'], {}, loadMany),
      cache.remember('a', {}, () => 'other'),
    ]
    await settle()
    const late = cache.remember('c', {}, () => 'other')
    await settle()
    loaded.open('value')
    expect(await Promise.all([...calls, late])).toEqual([
      ['value', 'value'],
      ['value', 'value'],
      'value',
      'value',
    ])
    expect(asked).toEqual(['a', 'b', 'c'])
  })

  test('does not call the loader without a missing key', async () => {
    const cache = new Cache(create())
    const { asked, load } = counting()
    expect(await cache.rememberMany([], {}, load)).toEqual([])
    await cache.set('a', null)
    expect(await cache.rememberMany(['a'], {}, load)).toEqual([null])
    expect(asked).toEqual([])
  })
})

describe('the cost of rememberMany', () => {
  test('is one read, and an add and a swap per missing key', async () => {
    const { a, reads, writes } = twoProcesses()
    const { load } = counting()
    await a.rememberMany(['1', '2', '3'], {}, load)
    expect(reads).toEqual(['getMany'])
    expect(writes).toEqual([...Array(3).fill('add'), ...Array(3).fill('compareAndSet')])
    await a.rememberMany(['1', '2', '3'], {}, load)
    expect(reads).toEqual(['getMany', 'getMany'])
    expect(writes).toHaveLength(6)
  })

  test('includes three reads and one add of each tag, however many keys there are', async () => {
    const { a, reads, writes } = twoProcesses()
    const { load } = counting()
    const keys = Array.from({ length: 100 }, (_, index) => `key ${index}`)
    await a.rememberMany(keys, { tags: ['t'] }, load)
    // The version is read with the keys, and again beside the swaps.
    expect(reads).toEqual(['getMany', 'get', 'get'])
    expect(writes.filter((name) => name === 'add')).toHaveLength(101)
    await a.rememberMany(keys, { tags: ['t'] }, load)
    expect(reads).toEqual(['getMany', 'get', 'get', 'getMany', 'get'])
  })

  test('is few turns for 1,000 keys: the calls for different keys do not wait for each other', async () => {
    const calls: string[] = []
    const slow = wrapStore(new ReferenceStore(), async (operation, call) => {
      calls.push(operation)
      await sleep(10)
      return call()
    })
    const cache = new Cache(slow)
    const { asked, load } = counting()
    const keys = Array.from({ length: 1_000 }, (_, index) => `key ${index}`)
    const start = performance.now()
    const values = await cache.rememberMany(keys, { staleWhileRevalidate: '1m' }, load)
    expect(performance.now() - start).toBeLessThan(5_000) // 2,000 sequential calls take 20 s
    expect(values[999]).toBe('key 999 1')
    expect(asked).toEqual([keys])
    expect(calls.filter((name) => name === 'getMany')).toHaveLength(1)
    expect(calls).toHaveLength(2_001)
  })

  test('is one refresh in the background for 1,000 stale keys', async () => {
    const { a, clock, reads } = twoProcesses()
    const { asked, load } = counting()
    const keys = Array.from({ length: 1_000 }, (_, index) => `key ${index}`)
    const options = { ttl: '1m', staleWhileRevalidate: '1m' } as const
    await a.rememberMany(keys, options, load)
    await clock.advance(61_000)
    reads.length = 0
    expect((await a.rememberMany(keys, options, load))[7]).toBe('key 7 1')
    await expect.poll(() => a.get('key 999')).toBe('key 999 2')
    expect(asked).toEqual([keys, keys])
    expect(reads.filter((name) => name === 'getMany')).toHaveLength(2)
    expect((await a.rememberMany(keys, options, load))[7]).toBe('key 7 2')
    expect(asked).toHaveLength(2)
  })

  test('of a wait for another process is one read per poll', async () => {
    const { a, b, reads } = twoProcesses()
    const loaded = gate<readonly string[]>()
    const keys = Array.from({ length: 100 }, (_, index) => `key ${index}`)
    const first = a.rememberMany(keys, {}, () => loaded.opened)
    await settle()
    reads.length = 0
    const second = b.rememberMany(keys, {}, () => [])
    await sleep(100)
    loaded.open(keys)
    expect(await second).toEqual(keys)
    await first
    expect(new Set(reads)).toEqual(new Set(['getMany']))
    expect(reads.length).toBeLessThan(60)
  })
})

test('the jitter of the ttl is drawn for each key', async () => {
  const store = new ReferenceStore({ clock: { now: () => 0, sleep: async () => {} } })
  const keys = Array.from({ length: 20 }, (_, index) => `key ${index}`)
  await new Cache(store).rememberMany(keys, { ttl: '1h', jitter: 0.5 }, () => keys)
  const ttls = keys.map((key) => store.items.get(key)?.expiresAt)
  expect(new Set(ttls).size).toBeGreaterThan(10)
})

describe('over two processes', () => {
  test('each key is loaded once: a process waits for the keys that another one loads', async () => {
    const { a, b } = twoProcesses()
    const loaded = gate<readonly string[]>()
    const first = a.rememberMany(['1', '2'], {}, () => loaded.opened)
    await settle()
    const { asked, load } = counting()
    const second = b.rememberMany(['2', '3', '1', '4'], {}, load)
    await settle()
    // Its own keys are loaded and stored without waiting for the other process.
    expect(asked).toEqual([['3', '4']])
    expect(await a.getMany(['3', '4'])).toEqual(['3 1', '4 1'])
    loaded.open(['one', 'two'])
    expect(await first).toEqual(['one', 'two'])
    expect(await second).toEqual(['two', '3 1', 'one', '4 1'])
    expect(asked).toHaveLength(1)
  })

  test('remember waits for a load of rememberMany', async () => {
    const { a, b } = twoProcesses()
    const loaded = gate<readonly string[]>()
    const first = a.rememberMany(['1', '2'], {}, () => loaded.opened)
    await settle()
    const second = b.remember('2', {}, () => 'other')
    loaded.open(['one', 'two'])
    expect([await first, await second]).toEqual([['one', 'two'], 'two'])
  })

  test('processes that load the same keys in opposite order complete', async () => {
    const { a, b } = twoProcesses()
    const { asked, load } = counting()
    const calls = [
      a.rememberMany(['1', '2', '3'], {}, load),
      b.rememberMany(['3', '2', '1'], {}, load),
    ]
    await Promise.all(calls)
    expect(asked.flat().sort()).toEqual(['1', '2', '3'])
  })

  test('the keys of a process that stopped are taken over by one load', async () => {
    const { a, backend } = twoProcesses()
    const { asked, load } = counting()
    const keys = Array.from({ length: 50 }, (_, index) => `key ${index}`)
    for (const key of keys) await backend.set(key, '\x01\x02Lstopped.0.50')
    await a.rememberMany([...keys, 'other'], {}, load)
    expect(asked).toEqual([['other'], keys])
    expect(await a.getMany(keys)).toEqual(keys.map((key) => `${key} 2`))
  })

  test('the keys that another process failed to load are loaded by one load', async () => {
    const { a, b } = twoProcesses()
    const failed = gate<never>()
    const first = a.rememberMany(['1', '2'], {}, () => failed.opened)
    await settle()
    const { asked, load } = counting()
    const second = b.rememberMany(['1', '2'], {}, load)
    await settle()
    failed.fail(new Error('database down'))
    await expect(first).rejects.toThrow('database down')
    expect(await second).toEqual(['1 1', '2 1'])
    expect(asked).toEqual([['1', '2']])
  })

  test('with lease: false each process loads', async () => {
    const { a, b, writes } = twoProcesses()
    const { asked, load } = counting()
    const options = { lease: false } as const
    await Promise.all([a, b].map((cache) => cache.rememberMany(['1', '2'], options, load)))
    expect(asked).toEqual([
      ['1', '2'],
      ['1', '2'],
    ])
    expect(writes).toEqual(Array(4).fill('add'))
  })
})

describe('a load of several keys during which', () => {
  type Change = (cache: Cache) => Promise<unknown>
  const changes: [string, Change, unknown][] = [
    ['one is deleted', (cache) => cache.delete('1'), undefined],
    ['one is deleted by deleteMany', (cache) => cache.deleteMany(['1']), undefined],
    ['one is set', (cache) => cache.set('1', 'new'), 'new'],
    ['one is set by setMany', (cache) => cache.setMany([['1', 'new']]), 'new'],
    ['one is updated', (cache) => cache.update('1', () => 'new'), 'new'],
    ['one is added', (cache) => cache.add('1', 'new'), 'new'],
    ['one is expired by touch', (cache) => cache.touch('1', { ttl: 0 }), undefined],
  ]
  const processes = ['this process', 'another process'] as const
  const cases = changes.flatMap((change) =>
    processes.map((process) => [change[0], process, change[1], change[2]] as const),
  )

  test.each(cases)('%s by %s does not store that one', async (_, process, change, expected) => {
    const { a, b } = twoProcesses({ prefix: 'app:' })
    const loaded = gate<readonly string[]>()
    const call = a.rememberMany(['1', '2'], {}, () => loaded.opened)
    await settle()
    await change(process === 'this process' ? a : b)
    const joined = a.rememberMany(['1'], {}, () => ['later'])
    await settle()
    loaded.open(['old', 'two'])
    expect(await call).toEqual(['old', 'two'])
    expect(await joined).toEqual([expected ?? 'later'])
    expect(await b.getMany(['1', '2'])).toEqual([expected ?? 'later', 'two'])
  })

  test.each(processes)('the cache is cleared by %s stores none', async (process) => {
    const { a, b } = twoProcesses({ prefix: 'app:' })
    const loaded = gate<readonly string[]>()
    const call = a.rememberMany(['1', '2'], {}, () => loaded.opened)
    await settle()
    await (process === 'this process' ? a : b).clear()
    loaded.open(['old', 'old'])
    expect(await call).toEqual(['old', 'old'])
    expect(await b.getMany(['1', '2'])).toEqual([undefined, undefined])
  })

  test.each(processes)('a tag is invalidated by %s stores none', async (process) => {
    const { a, b } = twoProcesses()
    for (const options of [{ tags: ['t'] }, { tags: () => ['t'] }]) {
      const loaded = gate<readonly string[]>()
      const call = a.rememberMany(['1', '2'], options, () => loaded.opened)
      await settle()
      await (process === 'this process' ? a : b).invalidateTags('t')
      const joined = b.rememberMany(['1', '2'], options, () => ['new', 'new'])
      await settle()
      loaded.open(['old', 'old'])
      expect(await call).toEqual(['old', 'old'])
      expect(await joined).toEqual(['new', 'new'])
      await a.deleteMany(['1', '2'])
    }
  })

  test('a tag of one of them is invalidated stores the others', async () => {
    const { a, b, clock } = twoProcesses()
    await a.set('x', 1, { tags: ['t1', 't2'] })
    await clock.advance(60_000)
    const loaded = gate<readonly number[]>()
    const tags = (value: number) => [`t${value}`]
    const call = a.rememberMany(['1', '2'], { tags }, () => loaded.opened)
    await settle()
    await b.invalidateTags('t1')
    loaded.open([1, 2])
    expect(await call).toEqual([1, 2])
    expect(await b.getMany(['1', '2'])).toEqual([undefined, 2])
  })

  test('the lease of one is lost aborts only the signal of that one', async () => {
    const { a, b } = twoProcesses()
    const loaded = gate<readonly string[]>()
    let context: LoadManyContext<string> | undefined
    const call = a.rememberMany<string>(['1', '2'], { lease: 60 }, (_, given) => {
      context = given
      return loaded.opened
    })
    await settle()
    await b.set('1', 'new')
    await expect.poll(() => context?.of('1').signal.aborted).toBe(true)
    expect(context?.signal.aborted).toBe(false)
    await b.set('2', 'new')
    await expect.poll(() => context?.signal.aborted).toBe(true)
    loaded.open(['old', 'old'])
    expect(await call).toEqual(['old', 'old'])
    expect(await a.getMany(['1', '2'])).toEqual(['new', 'new'])
  })

  test('leases would expire renews them', async () => {
    const { a, b } = twoProcesses()
    const { asked, load } = counting()
    const slow = async (missing: readonly string[]) => {
      await sleep(2_500)
      return load(missing)
    }
    const calls = [a, b].map((cache) => cache.rememberMany(['1', '2'], { lease: '1s' }, slow))
    await Promise.all(calls)
    expect(asked).toEqual([['1', '2']])
  })
})

describe('stale values', () => {
  const options = { ttl: '1m', staleWhileRevalidate: '1m', staleIfError: '10m' } as const

  test('are returned, and refreshed together outside the context of the request', async () => {
    const { a, clock } = twoProcesses()
    const request = new AsyncLocalStorage<string>()
    const { load } = counting()
    await a.rememberMany(['1', '2'], options, load)
    await clock.advance(61_000)
    const seen: unknown[] = []
    const refresh = async (
      missing: readonly string[],
      { background, of, ...rest }: LoadManyContext<string>,
    ) => {
      seen.push([missing, background, request.getStore(), rest.signal.aborted])
      return missing.map((key) => `${key} new`)
    }
    // A missing key is loaded in the foreground, without waiting for the refresh.
    const call = request.run('request', () => a.rememberMany(['1', '2', '3'], options, refresh))
    expect(await call).toEqual(['1 1', '2 1', '3 new'])
    await expect.poll(() => a.getMany(['1', '2'])).toEqual(['1 new', '2 new'])
    expect(seen).toHaveLength(2)
    expect(seen).toContainEqual([['3'], false, 'request', false])
    expect(seen).toContainEqual([['1', '2'], true, undefined, false])
  })

  test('are not refreshed if another process does, and do not delay the refresh of others', async () => {
    const { a, b, clock } = twoProcesses()
    const request = new AsyncLocalStorage<string>()
    const { load } = counting()
    await a.rememberMany(['1', '2'], options, load)
    await clock.advance(61_000)
    const loaded = gate<readonly string[]>()
    expect(await b.rememberMany(['2'], options, () => loaded.opened)).toEqual(['2 1'])
    await settle()
    const seen: unknown[] = []
    const refresh = (missing: readonly string[]) => {
      seen.push([missing, request.getStore()])
      return missing
    }
    await request.run('request', () => a.rememberMany(['1', '2'], options, refresh))
    await expect.poll(() => a.get('1')).toBe('1')
    expect(seen).toEqual([[['1'], undefined]])
    loaded.open(['other'])
    await expect.poll(() => a.get('2')).toBe('other')
  })

  test('are returned if the load fails', async () => {
    const { a, clock } = twoProcesses()
    const { load } = counting()
    await a.rememberMany(['1', '2'], options, load)
    await clock.advance(180_000)
    const fail = async () => {
      throw new Error('database down')
    }
    expect(await a.rememberMany(['1', '2'], options, fail)).toEqual(['1 1', '2 1'])
    await expect(a.rememberMany(['1', '3'], options, fail)).rejects.toThrow('database down')
  })

  test('are given to the loader per key, with validators', async () => {
    const { a, clock } = twoProcesses()
    const fresh = { ttl: '1m', staleIfError: '10m' } as const
    await a.rememberMany(['1', '2'], fresh, (missing, context) => {
      context.of('1').setValidators({ etag: '"e1"' })
      return missing
    })
    await clock.advance(61_000)
    const values = await a.rememberMany(['1', '2', '3'], fresh, (missing, context) => {
      expect(missing).toEqual(['1', '2', '3'])
      expect(context.of('1').etag).toBe('"e1"')
      expect(context.of('2').etag).toBeUndefined()
      expect(context.of('2').stale).toBe('2')
      expect(context.of('3').stale).toBeUndefined()
      return [context.of('1').notModified(), 'two', 'three']
    })
    expect(values).toEqual(['1', 'two', 'three'])
    expect(await a.getMany(['1', '2', '3'])).toEqual(['1', 'two', 'three'])
  })

  test('are returned after the timeout of the caller', async () => {
    const { a, clock } = twoProcesses()
    const { load } = counting()
    await a.rememberMany(['1', '2'], options, load)
    await clock.advance(180_000)
    await a.set('3', 'three')
    const never = gate<readonly string[]>()
    const limited = { ...options, timeout: 20 }
    const call = a.rememberMany(['1', '2', '3'], limited, () => never.opened)
    expect(await call).toEqual(['1 1', '2 1', 'three'])
    const missing = a.rememberMany(['1', '4'], limited, () => never.opened)
    await expect(missing).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
    never.open(['late', 'late'])
  })
})

describe('the context of a loader of several keys', () => {
  test('determines ttl, tags and storage of each key', async () => {
    const { a, clock } = twoProcesses()
    const load = (missing: readonly string[], context: LoadManyContext<string>) => {
      context.of('short').setTtl('1s')
      context.of('tagged').addTags('t')
      context.of('skipped').skip()
      expect(() => context.of('other')).toThrow(TypeError)
      return missing
    }
    const keys = ['short', 'tagged', 'skipped', 'plain']
    expect(await a.rememberMany(keys, { ttl: '1h' }, load)).toEqual(keys)
    expect(await a.getMany(keys)).toEqual(['short', 'tagged', undefined, 'plain'])
    await clock.advance(1_000)
    expect(await a.getMany(keys)).toEqual([undefined, 'tagged', undefined, 'plain'])
    await a.invalidateTags('t')
    expect(await a.getMany(keys)).toEqual([undefined, undefined, undefined, 'plain'])
  })

  test('does not share a private value with other callers', async () => {
    const cache = new Cache(referenceStore({ async: true }))
    let loads = 0
    const load = (missing: readonly string[], context: LoadManyContext<number>) => {
      loads++
      const mine = loads
      context.of('private').skip({ share: false })
      return missing.map(() => mine)
    }
    const both = [1, 2].map(() => cache.rememberMany(['private', 'public'], {}, load))
    const [first, second] = await Promise.all(both)
    expect(first).toEqual([1, 1])
    expect(second).toEqual([2, 1])
  })
})

describe('a load of several keys that fails', () => {
  test('rejects with the error of the loader, and the next call loads again', async () => {
    const { a } = twoProcesses()
    const error = new Error('database down')
    const fail = () => {
      throw error
    }
    const calls = [a.rememberMany(['1', '2'], {}, fail), a.remember('2', {}, fail)]
    const outcomes = await Promise.allSettled(calls)
    expect(outcomes).toEqual([
      { status: 'rejected', reason: error },
      { status: 'rejected', reason: error },
    ])
    expect(await a.rememberMany(['1', '2'], {}, () => ['up', 'up'])).toEqual(['up', 'up'])
  })

  test('is not repeated before its backoff ends', async () => {
    const { a, b, clock } = twoProcesses()
    const options = { backoff: '10s' } as const
    const fail = async () => {
      throw new Error('database down')
    }
    await expect(a.rememberMany(['1', '2'], options, fail)).rejects.toThrow('database down')
    const { asked, load } = counting()
    const error = { code: 'ERR_CACHE_LOAD', retryable: true }
    await expect(b.rememberMany(['1', '3'], options, load)).rejects.toMatchObject(error)
    await clock.advance(10_000)
    expect(await b.rememberMany(['1'], options, load)).toHaveLength(1)
    expect(asked.flat()).toContain('1')
  })

  test('ends after loadTimeout, and its signal aborts', async () => {
    const cache = new Cache(referenceStore({ async: true }))
    let signal: AbortSignal | undefined
    const call = cache.rememberMany(['1', '2'], { loadTimeout: 30 }, (_, context) => {
      signal = context.signal
      return gate<readonly string[]>().opened
    })
    await expect(call).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
    await expect.poll(() => signal?.aborted).toBe(true)
    expect(await cache.rememberMany(['1', '2'], {}, () => ['a', 'b'])).toEqual(['a', 'b'])
  })
})

describe('the signal of a caller of rememberMany', () => {
  test('rejects the call, and aborts the load only if no other caller waits', async () => {
    const cache = new Cache(referenceStore({ async: true }))
    const loaded = gate<readonly string[]>()
    let signal: AbortSignal | undefined
    const load = (_: readonly string[], context: LoadManyContext<string>) => {
      signal = context.signal
      return loaded.opened
    }
    const [one, two] = [new AbortController(), new AbortController()]
    const first = cache.rememberMany(['1', '2'], { signal: one.signal }, load)
    await settle()
    const second = cache.remember('2', { signal: two.signal }, () => 'other')
    await settle()
    one.abort(new Error('first left'))
    await expect(first).rejects.toThrow('first left')
    expect(signal?.aborted).toBe(false)
    two.abort(new Error('second left'))
    await expect(second).rejects.toThrow('second left')
    expect(signal?.aborted).toBe(true)
    expect(await cache.rememberMany(['1', '2'], {}, () => ['a', 'b'])).toEqual(['a', 'b'])
  })

  test('that aborts before the loader is called leaves out the keys whose loads it aborted', async () => {
    const slow = gate()
    const store = wrapStore(referenceStore(), async (operation, call, [key]) => {
      if (operation === 'add' && key === '2') await slow.opened
      return call()
    })
    const caller = new AbortController()
    const { asked, load } = counting()
    const call = new Cache(store).rememberMany(['1', '2'], { signal: caller.signal }, load)
    await settle()
    caller.abort(new Error('left'))
    await expect(call).rejects.toThrow('left')
    slow.open()
    await settle()
    expect(asked).toEqual([['2']])
  })

  test('may wait for many keys without a warning', async () => {
    const warnings: Error[] = []
    const listener = (warning: Error) => warnings.push(warning)
    process.on('warning', listener)
    const cache = new Cache(referenceStore({ async: true }))
    const keys = Array.from({ length: 100 }, (_, index) => `key ${index % 50}`)
    const { asked, load } = counting()
    const options = { signal: new AbortController().signal, timeout: '10s', refresh: true } as const
    expect(await cache.rememberMany(keys, options, load)).toHaveLength(100)
    expect(asked).toEqual([keys.slice(0, 50)])
    await settle()
    process.off('warning', listener)
    expect(warnings).toEqual([])
  })

  test('that has aborted already rejects the call, and later calls do not wait for it', async () => {
    const cache = new Cache(referenceStore({ async: true }))
    const { asked, load } = counting()
    const options = { signal: AbortSignal.abort(new Error('gone')) }
    await expect(cache.rememberMany(['1'], options, load)).rejects.toThrow('gone')
    expect(asked).toEqual([])
    expect(await cache.rememberMany(['1'], {}, load)).toEqual(['1 1'])
  })
})

describe('when the store fails, rememberMany', () => {
  const unreachable = () => new CacheError('ERR_CACHE_UNAVAILABLE', 'unreachable')

  test('loads without storing, and publishes the failure', async () => {
    const calls: string[] = []
    const store = wrapStore(referenceStore(), (operation) => {
      calls.push(operation)
      throw unreachable()
    })
    const { asked, load } = counting()
    const errors = await errorsDuring(async () => {
      expect(await new Cache(store).rememberMany(['1', '2'], {}, load)).toEqual(['1 1', '2 1'])
    })
    expect(asked).toEqual([['1', '2']])
    expect(calls).toEqual(['getMany'])
    expect(errors.map(({ key }) => key)).toEqual(['1', '2'])
  })

  test('keeps the values of the keys that could be read', async () => {
    const inner = referenceStore()
    const store = wrapStore(inner, (operation, call, [keys]) => {
      if (operation !== 'getMany') return call()
      const outcomes = (keys as string[]).map((key) =>
        key === 'bad'
          ? ({ status: 'rejected', reason: unreachable() } as const)
          : ({ status: 'fulfilled', value: inner.get(key) } as const),
      )
      throw new BatchError(outcomes)
    })
    const cache = new Cache(store)
    await cache.set('hit', 'hit')
    const { asked, load } = counting()
    const values = await cache.rememberMany(['bad', 'hit', 'good'], {}, load)
    expect(values).toEqual(['bad 1', 'hit', 'good 1'])
    expect(asked).toEqual([['bad', 'good']])
    expect(await cache.get('good')).toBe('good 1')
    expect(await cache.get('bad')).toBeUndefined()
  })

  test.each(['add', 'compareAndSet'] as const)(
    'returns loaded values if %s fails',
    async (name) => {
      const store = wrapStore(referenceStore(), (operation, call, [key]) => {
        if (operation === name && key === 'bad') throw unreachable()
        return call()
      })
      const cache = new Cache(store)
      const { asked, load } = counting()
      const errors = await errorsDuring(async () => {
        expect(await cache.rememberMany(['bad', 'good'], {}, load)).toEqual(['bad 1', 'good 1'])
      })
      expect(asked).toHaveLength(1)
      expect(errors.map(({ key }) => key)).toEqual(['bad'])
      expect(await cache.getMany(['bad', 'good'])).toEqual([undefined, 'good 1'])
    },
  )

  test('rejects after close', async () => {
    const cache = new Cache(memory())
    await cache.close()
    const call = cache.rememberMany(['1'], {}, () => ['a'])
    await expect(call).rejects.toMatchObject({ code: 'ERR_CACHE_CLOSED' })
  })
})

describe('loads of several keys that need each other', () => {
  test('a loader that needs one of its own keys runs that loader unshared', async () => {
    const cache = new Cache(referenceStore({ async: true }))
    const outer = cache.rememberMany(['1', '2'], {}, async (missing) => {
      const inner = await cache.rememberMany(['2', '3'], {}, (keys) =>
        keys.map((key) => `in ${key}`),
      )
      return missing.map((key) => `${key} with ${inner}`)
    })
    expect(await outer).toEqual(['1 with in 2,in 3', '2 with in 2,in 3'])
    expect(await cache.get('3')).toBe('in 3')
  })

  test('a loader that needs its own keys without end rejects', async () => {
    const cache = new Cache(referenceStore({ async: true }))
    const load = (): Promise<number[]> =>
      cache.rememberMany(['1', '2'], {}, load) as Promise<number[]>
    await expect(load()).rejects.toThrow(/calls itself without end/)
  })

  test('two loads that need keys of each other complete', async () => {
    const cache = new Cache(referenceStore({ async: true }))
    const load = (keys: string[], other: string) =>
      cache.rememberMany(keys, {}, async (missing) => {
        await settle()
        const value = await cache.remember(other, {}, () => other)
        return missing.map((key) => `${key} with ${value}`)
      })
    const loaded = await Promise.all([load(['1', '2'], '3'), load(['3', '4'], '2')])
    expect(loaded.flat().join()).toMatch(/1 with 3/)
  })
})

test('every caller and every position receives a value of its own', async () => {
  const cache = new Cache(referenceStore({ async: true }))
  const load = (missing: readonly string[]) => missing.map(() => ({ tags: ['a'] }))
  const calls = [cache.rememberMany(['1', '1'], {}, load), cache.rememberMany(['1'], {}, load)]
  const [first, second, third] = (await Promise.all(calls)).flat()
  first?.tags.push('changed')
  expect([second, third]).toEqual([{ tags: ['a'] }, { tags: ['a'] }])
  const hits = await cache.rememberMany(['1', '1'], {}, load)
  hits[0]?.tags.push('changed')
  expect(hits[1]).toEqual({ tags: ['a'] })
})

test('rememberMany rejects invalid keys and options before it begins a load', async () => {
  const cache = new Cache(referenceStore({ async: true }))
  const { asked, load } = counting()
  await expect(cache.rememberMany(['1', ''], {}, load)).rejects.toThrow(TypeError)
  await expect(cache.rememberMany(['1'], { jitter: 2 }, load)).rejects.toThrow(/jitter/)
  await expect(cache.rememberMany(['1'], { timeout: 'x' } as never, load)).rejects.toThrow()
  expect(await cache.rememberMany(['1'], {}, load)).toEqual(['1 1'])
  expect(asked).toEqual([['1']])
})

async function errorsDuring(work: () => Promise<unknown>): Promise<ErrorEvent[]> {
  const events: ErrorEvent[] = []
  const listener = (event: unknown) => events.push(event as ErrorEvent)
  subscribe('stowage:error', listener)
  try {
    await work()
  } finally {
    unsubscribe('stowage:error', listener)
  }
  return events
}
