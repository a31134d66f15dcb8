import { CacheError, type LoadContext, type RememberOptions } from '@stowage/core'
import type { ByteStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { EntryReader, Found } from '../../src/freshness/entry-reader.ts'
import { LimitedCaller } from '../../src/loading/limited-caller.ts'
import type { RememberDefaults } from '../../src/loading/remember-options.ts'
import type { RememberCache } from '../../src/remember/load-job.ts'
import { RememberCalls } from '../../src/remember/remember-calls.ts'
import type { ObservedCall } from '../../src/tracing/observed-call.ts'
import { parseMark } from '../../src/values/mark.ts'
import { eventsDuring } from './events.ts'
import { loadJob } from './load-job.ts'
import { settle } from './two-processes.ts'

const strong = { consistency: 'strong' }
const down = new CacheError('ERR_CACHE_UNAVAILABLE', 'down', { operation: 'get' })
const never = new Promise<never>(() => {})
const load = () => 'loaded'
const fresh: Found = {
  item: '"found"',
  entry: { value: 'found' },
  isEntry: true,
  staleMs: -1,
  mark: undefined,
  versions: new Map(),
}
const miss: Found = {
  ...fresh,
  item: undefined,
  entry: undefined,
  isEntry: false,
  staleMs: Infinity,
}

afterEach(() => void vi.restoreAllMocks())

interface CallsSetUp {
  readonly defaults?: RememberDefaults
  readonly ttl?: number
  readonly cache?: Partial<RememberCache>
  readonly store?: ByteStore
  /** What each read returns. The last one remains. */
  readonly reads?: (Found | Promise<Found>)[]
}

/** The calls of a cache, whose reads the test determines. */
function setUp({ defaults, ttl, cache: different, store, reads = [miss] }: CallsSetUp = {}) {
  const read: unknown[][] = []
  const reader = {
    read: (...args: unknown[]) => {
      read.push(args)
      return reads.length > 1 ? reads.shift() : reads[0]
    },
  } as unknown as EntryReader
  const { cache } = loadJob({
    cache: { reader, ...different },
    ...(store !== undefined && { store }),
  })
  const calls = new RememberCalls({ cache: { ...cache, reader }, defaults, ttl })
  const noted: unknown[] = []
  const observed = {
    isAborted: false,
    note: (outcome: string) => noted.push(outcome),
    noteFound: ({ item }: Found) => noted.push(item),
    succeed: () => noted.push('succeeded'),
    fail: (error: unknown) => noted.push(['failed', error]),
    settleWith: <T>(result: Promise<T>) => {
      noted.push('settles')
      return result
    },
  } as unknown as ObservedCall
  const begun = vi.spyOn(cache.flights, 'begin')
  const remember = (
    options: RememberOptions<string> = {},
    loader: (context: LoadContext<string>) => string | Promise<string> = load,
    caller?: LimitedCaller,
  ) => calls.remember<string>('k', options, loader, caller, observed)
  const stored = async () => String(await cache.entries.store.get('k'))
  return { calls, cache, flights: cache.flights, noted, observed, read, begun, remember, stored }
}

/** A flight for the key, which others join. */
function join({ flights, begun }: ReturnType<typeof setUp>) {
  const flight = flights.begin('k')
  begun.mockClear()
  return flight
}

describe('a call that finds a fresh value', () => {
  test.each([
    ['at once', fresh],
    ['later', Promise.resolve(fresh)],
  ])('returns it, without a flight: %s', async (_, found) => {
    const { remember, noted, begun, read } = setUp({ reads: [found] })
    const stale: unknown[] = []
    const events = await eventsDuring('stowage:hit', async () => {
      const value = async () => expect(await remember({ tags: ['t'] })).toBe('found')
      stale.push(...(await eventsDuring('stowage:stale', value)))
    })
    expect([events, stale]).toEqual([[expect.objectContaining({ key: 'k' })], []])
    expect([noted, begun.mock.calls]).toEqual([['"found"', 'succeeded'], []])
    expect(read).toEqual([['k', ['t']]])
  })

  test('is not observed if nobody subscribes', async () => {
    const { calls } = setUp({ reads: [fresh] })
    expect(await calls.remember('k', {}, load)).toBe('found')
  })

  test('does not settle if it has limits: its caller may have stopped waiting', async () => {
    const { remember, noted } = setUp({ reads: [fresh] })
    const caller = new LimitedCaller(true)
    expect(await remember({}, load, caller)).toBe('found')
    expect(noted).toEqual(['"found"'])
    caller.isAnswered = true
    expect(await remember({}, load, caller)).toBe('found')
    expect(noted).toEqual(['"found"'])
  })

  test.each([
    [true, 1],
    [false, 0],
  ])('audits it if it is one of the sample: %s', async (isSampled, count) => {
    const begin = vi.fn(() => false)
    const audit = { isSampled: () => isSampled, begin } as never
    await setUp({ reads: [fresh], cache: { audit } }).remember()
    expect(begin).toHaveBeenCalledTimes(count)
  })
})

describe('a call that finds no value', () => {
  test.each([
    ['at once', miss],
    ['later', Promise.resolve(miss)],
  ])('loads it with what it has read: %s', async (_, found) => {
    const { remember, noted, read, begun, stored } = setUp({ reads: [found], ttl: 60_000 })
    expect(await remember()).toBe('loaded')
    expect([noted, read.length, begun.mock.calls.length]).toEqual([['miss', 'succeeded'], 1, 1])
    expect(await stored()).toBe('"loaded"')
  })

  test('does not settle if it has limits', async () => {
    const { remember, noted } = setUp()
    expect(await remember({}, load, new LimitedCaller(false))).toBe('loaded')
    const fail = () => Promise.reject(down)
    await expect(remember({}, fail, new LimitedCaller(false))).rejects.toBe(down)
    expect(noted).toEqual(['miss'])
  })

  test('fails as its loader does', async () => {
    const { remember, noted } = setUp()
    await expect(remember({}, () => Promise.reject(down))).rejects.toBe(down)
    expect(noted).toEqual([['failed', down]])
  })

  test('loads without a claim if the read fails', async () => {
    const { remember, stored } = setUp({ reads: [Promise.reject(down)] })
    await eventsDuring('stowage:error', async () => {
      expect(await remember()).toBe('loaded')
    })
    expect(await stored()).toBe('undefined')
  })

  test('rejects during the backoff of a failed load, without a flight', async () => {
    const mark = parseMark('\x01\x02Fother.0.50')
    const { remember, begun } = setUp({ reads: [Promise.resolve({ ...miss, mark })] })
    await expect(remember()).rejects.toMatchObject({ code: 'ERR_CACHE_LOAD', key: 'k' })
    expect(begun).not.toHaveBeenCalled()
  })

  test('has the ttl and the options of the cache, unless it has its own', async () => {
    const defaults = { staleIfError: 7 }
    const context = setUp({ defaults, ttl: 50 })
    const add = vi.spyOn(context.cache.entries.store, 'compareAndSet')
    await context.remember()
    await context.cache.entries.store.delete('k')
    await context.remember({ ttl: 10, staleIfError: 1 })
    expect(add.mock.calls.map((args) => args[3])).toEqual([57, 11])
  })

  test.each<[string, RememberOptions<string>, string]>([
    ['an unknown option', { staleIfErrors: 1 } as never, 'Did you mean staleIfError?'],
    ['an invalid tag', { tags: [''] }, 'A tag must be a non-empty string.'],
    ['an invalid timeout', { timeout: 'soon' as never }, 'remember: timeout is not a duration'],
  ])('rejects %s', async (_, options, message) => {
    const { remember } = setUp()
    await expect(remember(options)).rejects.toThrow(message)
  })

  test('rejects what is not a loader, and an invalid key', async () => {
    const { calls, remember, noted, observed } = setUp()
    await expect(remember({}, 'loaded' as never)).rejects.toThrow(TypeError)
    await expect(calls.remember('', {}, load, undefined, observed)).rejects.toThrow(TypeError)
    await expect(remember({}, 'loaded' as never, new LimitedCaller(true))).rejects.toThrow(
      TypeError,
    )
    expect(noted).toEqual(['settles', 'settles'])
  })
})

describe('a call for a key with a flight', () => {
  const result = { item: '"joined"', source: 'loaded', audience: 'all' } as const

  test('joins a load, without a read', async () => {
    const context = setUp()
    const flight = join(context)
    flight.beginLoad()
    const value = context.remember()
    context.flights.end(flight, result)
    expect(await value).toBe('joined')
    expect([context.noted, context.read]).toEqual([['settles', 'shared'], []])
  })

  test('reads the key itself if the flight has only read', async () => {
    const context = setUp({ reads: [fresh] })
    join(context)
    expect(await context.remember()).toBe('found')
    expect(context.read).toHaveLength(1)
  })

  test('begins another one for a forced refresh, with a strong read', async () => {
    const context = setUp({ reads: [miss] })
    const flight = join(context)
    flight.beginLoad()
    expect(await context.remember({ refresh: true, tags: ['t'] })).toBe('loaded')
    expect(context.read).toEqual([['k', ['t'], strong]])
    expect([context.begun.mock.calls, context.noted]).toEqual([[['k']], ['settles', 'miss']])
  })
})

describe('a call without a lease', () => {
  test.each<[string, CallsSetUp, RememberOptions<string>, boolean]>([
    ['by its option', {}, { lease: false }, true],
    ['by the option of the cache', { defaults: { lease: false } }, {}, true],
    ['of the cache, with one of its own', { defaults: { lease: false } }, { lease: '5s' }, false],
    ['on a store in this process', { store: memory() as never }, { lease: false }, false],
  ])('begins its flight before it reads: %s', async (_, setUpOne, options, isBefore) => {
    const context = setUp({ ...setUpOne, reads: [Promise.resolve(fresh)] })
    const value = context.remember(options)
    expect(context.begun.mock.calls).toEqual(isBefore ? [['k']] : [])
    expect(await value).toBe('found')
    expect(context.read[0]?.[2]).toBeUndefined()
  })

  test.each([
    ['a flight that only reads exists', true, 1],
    ['the flight that existed has ended', false, 2],
  ])('reads again if %s', async (_, exists, reads) => {
    const context = setUp({ reads: [Promise.resolve(miss)] })
    const flight = join(context)
    const value = context.remember({ lease: false })
    if (!exists) context.flights.end(flight)
    await settle()
    expect(context.read).toHaveLength(reads)
    context.flights.end(flight, { item: '"joined"', source: 'loaded', audience: 'all' })
    expect(await value).toBe(exists ? 'joined' : 'loaded')
  })
})

describe('a call that finds a stale value', () => {
  const staleFor = (staleMs: number): Found => ({ ...fresh, staleMs })

  test.each<[string, number, RememberOptions<string>, RememberDefaults | undefined, boolean]>([
    ['within its window', 4, { staleWhileRevalidate: 5 }, undefined, true],
    ['within that of the cache', 4, {}, { staleWhileRevalidate: 5 }, true],
    ['after its own', 4, { staleWhileRevalidate: 4 }, { staleWhileRevalidate: 5 }, false],
    ['at the end of its window', 5, { staleWhileRevalidate: 5 }, undefined, false],
    ['that has just become stale', 0, { staleWhileRevalidate: 5 }, undefined, true],
    ['without a window', 0, {}, undefined, false],
  ])('returns it and refreshes it: %s', async (_, staleMs, options, defaults, isServed) => {
    const context = setUp({
      reads: [staleFor(staleMs), miss],
      ...(defaults !== undefined && { defaults }),
    })
    const refreshed = vi.spyOn(context.flights, 'beginRefresh')
    const events = await eventsDuring('stowage:stale', async () => {
      expect(await context.remember(options)).toBe(isServed ? 'found' : 'loaded')
    })
    expect([events.length, refreshed.mock.calls.length]).toEqual(isServed ? [1, 1] : [0, 0])
    expect(context.begun).toHaveBeenCalledTimes(isServed ? 0 : 1)
    await settle()
  })

  test('returns one that is found later as well', async () => {
    const { remember, begun } = setUp({ reads: [Promise.resolve(staleFor(1)), miss] })
    expect(await remember({ staleWhileRevalidate: 5 })).toBe('found')
    expect(begun).not.toHaveBeenCalled()
    await settle()
  })

  test('does not return an invalidated one', async () => {
    const found = { ...miss, isEntry: true, staleMs: 1 }
    const context = setUp({ reads: [found] })
    expect(await context.remember({ staleWhileRevalidate: 5 })).toBe('loaded')
  })

  test('does not refresh it again during a refresh', async () => {
    const context = setUp({ reads: [staleFor(1)] })
    context.flights.beginRefresh('k')
    const refreshed = vi.spyOn(context.flights, 'beginRefresh')
    expect(await context.remember({ staleWhileRevalidate: 5 })).toBe('found')
    expect(refreshed).not.toHaveBeenCalled()
  })
})

describe('a call with limits', () => {
  test.each<[string, CallsSetUp, RememberOptions<string>]>([
    ['its timeout', {}, { timeout: 1 }],
    ['the timeout of the cache', { defaults: { timeout: 1 } }, {}],
    ['its own timeout', { defaults: { timeout: '1h' } }, { timeout: 1 }],
  ])('rejects after %s', async (_, setUpOne, options) => {
    const { remember, noted } = setUp(setUpOne)
    const error = { code: 'ERR_CACHE_TIMEOUT', key: 'k' }
    await expect(remember(options, () => never)).rejects.toMatchObject(error)
    expect(noted).toEqual(['settles'])
  })

  test('rejects with the reason of its signal', async () => {
    const controller = new AbortController()
    const { remember, noted, observed } = setUp()
    const value = remember({ signal: controller.signal }, () => never)
    controller.abort('left')
    await expect(value).rejects.toBe('left')
    expect([noted, observed.isAborted]).toEqual([['settles'], true])
  })

  test('returns what it loads', async () => {
    const { remember, noted } = setUp()
    expect(await remember({ timeout: '1h' })).toBe('loaded')
    expect(noted).toEqual(['settles', 'miss'])
  })
})

describe('a call for several keys', () => {
  const readMany = async (keys: readonly string[]) =>
    keys.map(() => ({ status: 'fulfilled', value: miss }) as const)

  function setUpMany(defaults?: RememberDefaults) {
    const context = setUp(defaults && { defaults })
    const reader = { ...context.cache.reader, readMany } as unknown as EntryReader
    const calls = new RememberCalls({ cache: { ...context.cache, reader }, defaults, ttl: 50 })
    return { ...context, calls }
  }

  test('loads them together, with the ttl of the cache', async () => {
    const { calls, cache, noted, observed } = setUpMany()
    const swap = vi.spyOn(cache.entries.store, 'compareAndSet')
    const loaded = calls.rememberMany(['a', 'b'], {}, (keys) => keys, observed)
    expect(await loaded).toEqual(['a', 'b'])
    expect(swap.mock.calls.map((args) => args[3])).toEqual([50, 50])
    expect(noted).toEqual(['miss', 'miss'])
  })

  test.each<[string, RememberDefaults | undefined, RememberOptions<string>]>([
    ['its timeout', undefined, { timeout: 1 }],
    ['the timeout of the cache', { timeout: 1 }, {}],
  ])('rejects after %s', async (_, defaults, options) => {
    const loaded = setUpMany(defaults).calls.rememberMany(['a'], options, () => never)
    await expect(loaded).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
  })

  test('rejects invalid keys, loaders and options', async () => {
    const { calls } = setUpMany()
    const many = (keys: unknown, loader: unknown, options: object = {}) =>
      calls.rememberMany(keys as string[], options, loader as never)
    await expect(many('a', load)).rejects.toThrow(/rememberMany/)
    await expect(many(['a'], 'loaded')).rejects.toThrow(/rememberMany/)
    await expect(many(['a'], load, { tags: [''] })).rejects.toThrow(
      'A tag must be a non-empty string.',
    )
    await expect(many(['a'], load, { lease: 0 })).rejects.toThrow('remember: lease')
  })
})
