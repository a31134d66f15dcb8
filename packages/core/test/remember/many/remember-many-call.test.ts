import {
  CacheError,
  type LoadContext,
  type LoadManyContext,
  type RememberOptions,
  tracing,
} from '@stowage/core'
import { ManualClock } from '@stowage/testing'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { AuditedHit } from '../../../src/audit/audit.ts'
import type { EntryReader, Found } from '../../../src/freshness/entry-reader.ts'
import { currentLoadOf, runAsLoad } from '../../../src/loading/current-load.ts'
import { LoadOptions } from '../../../src/loading/remember-options.ts'
import { Flight } from '../../../src/loading/single-flight.ts'
import type { RememberCache } from '../../../src/remember/load-job.ts'
import { type LoadMany, RememberManyCall } from '../../../src/remember/remember-many.ts'
import type { ObservedCall } from '../../../src/tracing/observed-call.ts'
import { eventsDuring } from '../events.ts'
import { loadJob, miss } from '../load-job.ts'
import { gate, settle } from '../two-processes.ts'

const strong = { consistency: 'strong' }
const down = new CacheError('ERR_CACHE_UNAVAILABLE', 'down', { operation: 'getMany' })
const foundFor = (value: string, staleMs: number): Found => ({
  ...miss,
  item: `"${value}"`,
  entry: { value, facts: { freshUntil: 1 } },
  isEntry: true,
  staleMs,
})

afterEach(() => void vi.restoreAllMocks())

type Outcome = Found | CacheError

interface ManySetUp {
  readonly options?: RememberOptions<string>
  readonly load?: LoadMany<string>
  readonly cache?: Partial<RememberCache>
  /** What is found under each key. All others are missing. */
  readonly found?: Readonly<Record<string, Outcome>>
  readonly readsFail?: boolean
}

/** A call of `rememberMany` without limits, or with some. */
function setUp({ options = {}, load, cache: different, found = {}, readsFail }: ManySetUp = {}) {
  const clock = new ManualClock()
  const reads: unknown[][] = []
  const outcomeOf = (key: string): PromiseSettledResult<Found> => {
    const outcome = found[key] ?? miss
    return outcome instanceof CacheError
      ? { status: 'rejected', reason: outcome }
      : { status: 'fulfilled', value: outcome }
  }
  const reader = {
    read: async (key: string) => found[key] ?? miss,
    readMany: async (keys: readonly string[], ...rest: unknown[]) => {
      reads.push([keys, ...rest])
      if (readsFail) throw down
      return keys.map(outcomeOf)
    },
  } as unknown as EntryReader
  const { cache } = loadJob({ clock, cache: { reader, ...different } })
  const noted: unknown[] = []
  const observed = {
    isAborted: false,
    note: (outcome: string) => noted.push(outcome),
    noteRead: (item: unknown) => noted.push(item),
    noteFound: ({ item }: Found) => noted.push(item),
  } as unknown as ObservedCall
  const asked: (readonly string[])[] = []
  const contexts: LoadManyContext<string>[] = []
  const recorded: LoadMany<string> = (missing, context) => {
    asked.push(missing)
    contexts.push(context)
    return load === undefined ? missing.map((key) => `loaded ${key}`) : load(missing, context)
  }
  const loadOptions = new LoadOptions<string>(options, undefined, clock)
  const run = (keys: string[], limits = {}) =>
    new RememberManyCall({ ...cache, reader }, loadOptions, recorded, observed).run(keys, limits)
  return { cache, flights: cache.flights, run, reads, asked, contexts, noted }
}

const limited = { timeout: '1h' } as const

describe.each([
  ['without limits', {}],
  ['with limits', limited],
])('a call for several keys, %s', (_, limits) => {
  test('reads them together, and loads those that are missing together', async () => {
    const { run, reads, asked, noted, flights } = setUp({
      options: { tags: ['t'] },
      found: { b: foundFor('found', -1) },
    })
    expect(await run(['a', 'b', 'c'], limits)).toEqual(['loaded a', 'found', 'loaded c'])
    expect(reads[0]).toEqual([['a', 'b', 'c'], ['t'], undefined])
    expect([asked, noted]).toEqual([[['a', 'c']], ['"found"', 'miss', 'miss']])
    expect(['a', 'b', 'c'].map((key) => flights.find(key))).toEqual(Array(3).fill(undefined))
  })

  test('reads strongly for a forced refresh, which loads fresh values again', async () => {
    const { run, reads, asked } = setUp({
      options: { refresh: true, lease: false },
      found: { a: foundFor('found', -1) },
    })
    expect(await run(['a'], limits)).toEqual(['loaded a'])
    expect([reads[0], asked]).toEqual([[['a'], [], strong], [['a']]])
  })

  test('joins the load of another call, but not for a forced refresh', async () => {
    for (const refresh of [false, true]) {
      const { run, reads, flights, asked } = setUp({ options: { refresh } })
      const flight = flights.begin('a')
      flight.beginLoad()
      const values = run(['a', 'b'], limits)
      await settle()
      flights.end(flight, { item: '"joined"', source: 'loaded', audience: 'all' })
      expect(await values).toEqual([refresh ? 'loaded a' : 'joined', 'loaded b'])
      const keys = [refresh ? ['a', 'b'] : ['b']]
      expect([reads.map(([each]) => each), asked]).toEqual([keys, keys])
    }
  })

  test('reads a key itself that another call has only read', async () => {
    const { run, flights } = setUp({ found: { a: foundFor('found', -1) } })
    const flight = flights.begin('a')
    expect(await run(['a'], limits)).toEqual(['found'])
    expect(flights.find('a')).toBe(flight)
  })

  test('reads and loads a repeated key once, also for a forced refresh', async () => {
    for (const refresh of [false, true]) {
      const { run, reads, asked, noted } = setUp({ options: { refresh } })
      expect(await run(['a', 'b', 'a'], limits)).toEqual(['loaded a', 'loaded b', 'loaded a'])
      expect([reads.map(([keys]) => keys), asked]).toEqual([[['a', 'b']], [['a', 'b']]])
      expect([...noted].sort()).toEqual(['miss', 'miss', 'shared'])
    }
  })

  test('gives each position what was read for a repeated key', async () => {
    const { run } = setUp({ found: { a: foundFor('found', -1) } })
    expect(await run(['a', 'a'], limits)).toEqual(['found', 'found'])
  })

  test.each([
    [-1, 'found'],
    [0, 'loaded a'],
  ])('returns a value that is stale for %s ms', async (staleMs, expected) => {
    const { run } = setUp({ options: { lease: false }, found: { a: foundFor('found', staleMs) } })
    expect(await run(['a'], limits)).toEqual([expected])
  })

  test('loads a key without a claim if it could not be read', async () => {
    const { run, cache } = setUp({ found: { a: down, b: foundFor('found', -1) } })
    const errors = await eventsDuring('stowage:error', async () => {
      expect(await run(['a', 'b'], limits)).toEqual(['loaded a', 'found'])
    })
    expect(errors).toEqual([expect.objectContaining({ key: 'a', error: down })])
    expect(await cache.entries.store.get('a')).toBeUndefined()
  })

  test('loads all keys if none could be read', async () => {
    const { run, asked } = setUp({ readsFail: true })
    await eventsDuring('stowage:error', async () => {
      expect(await run(['a', 'b'], limits)).toEqual(['loaded a', 'loaded b'])
    })
    expect(asked).toEqual([['a', 'b']])
  })

  test('rejects as its loader does', async () => {
    const failure = new Error('database down')
    const { run } = setUp({ load: () => Promise.reject(failure) })
    await expect(run(['a', 'b'], limits)).rejects.toBe(failure)
  })

  test('publishes one load of all keys', async () => {
    const events: unknown[] = []
    const onEnd = (event: unknown) => void events.push({ ...(event as object) })
    tracing.load.asyncEnd.subscribe(onEnd)
    await setUp().run(['a', 'b'], limits)
    tracing.load.asyncEnd.unsubscribe(onEnd)
    expect(events).toEqual([expect.objectContaining({ keys: ['a', 'b'], background: false })])
  })
})

test('a call for several keys with limits rejects after its timeout', async () => {
  const { run } = setUp({ load: () => new Promise(() => {}) })
  const error = { code: 'ERR_CACHE_TIMEOUT', key: 'a' }
  await expect(run(['a'], { timeout: 1 })).rejects.toMatchObject(error)
})

describe('the loader of several keys', () => {
  test('may return a map, or an array in their order', async () => {
    const map = new Map([['b', 'of b']])
    expect(await setUp({ load: () => map }).run(['a', 'b'])).toEqual([undefined, 'of b'])
    const { run } = setUp({ load: async () => ['first', 'second'] })
    expect(await run(['a', 'b'])).toEqual(['first', 'second'])
  })

  test.each([[['one']], [['one', 'two', 'three']], [{ length: 2 }], [undefined]])(
    'must not return %o for two keys',
    async (returned) => {
      const { run } = setUp({ load: () => returned as never })
      await expect(run(['a', 'b'])).rejects.toThrow(
        'The loader of rememberMany must return a Map, or an array with a value for each of the 2 missing keys.',
      )
    },
  )

  test('has the contexts of its keys, and of no other', async () => {
    const { run, contexts } = setUp({ found: { b: foundFor('found', -1) } })
    await run(['a', 'b'])
    const [context] = contexts
    expect([context?.of('a').key, context?.background]).toEqual(['a', false])
    expect(() => context?.of('b')).toThrow('The key is not one of the missing keys')
  })

  test('is called in a load of its own, for which those of its keys wait', async () => {
    let seen: ReturnType<typeof currentLoadOf>
    const loaded = gate<readonly string[]>()
    const { run, flights } = setUp({
      load: () => {
        seen = currentLoadOf()
        return loaded.opened
      },
    })
    const values = run(['a', 'b'])
    await settle()
    const members = ['a', 'b'].map((key) => flights.find(key) as Flight)
    const own = seen?.flight as Flight
    expect(seen?.bypassed).toEqual([])
    expect(members.map((flight) => flight.reaches(own))).toEqual([true, true])
    loaded.open(['1', '2'])
    expect(await values).toEqual(['1', '2'])
    expect(members.map((flight) => flight.reaches(own))).toEqual([false, false])
  })

  test('knows which flights the loads of its keys have bypassed', async () => {
    let seen: ReturnType<typeof currentLoadOf>
    const { run } = setUp({
      load: (keys) => {
        seen = currentLoadOf()
        return keys
      },
    })
    const outer = { flight: new Flight('outer'), bypassed: [new Flight('bypassed')] }
    await runAsLoad(outer, () => run(['a']))
    // The load of a key is not that of the outer one.
    expect(seen?.bypassed).toEqual([])
  })

  test('has a signal that aborts with the last of its keys, for that reason', async () => {
    const { run, flights, contexts } = setUp({ load: () => new Promise(() => {}) })
    const values = run(['a', 'b'])
    values.catch(() => {})
    await settle()
    const signal = contexts[0]?.signal
    flights.find('a')?.abort?.('first')
    expect(signal?.aborted).toBe(false)
    flights.find('b')?.abort?.('last')
    expect([signal?.aborted, signal?.reason]).toEqual([true, 'last'])
    await expect(values).rejects.toBe('first')
  })

  test('is not called for keys whose loads have been aborted before', async () => {
    const { run, cache, asked } = setUp()
    const values = run(['a', 'b'])
    const outcome = values.catch((error: unknown) => error)
    // Between the loads of the keys and the call of the loader.
    const { add } = cache.activeLoads
    let added = 0
    vi.spyOn(cache.activeLoads, 'add').mockImplementation((load) => {
      add.call(cache.activeLoads, load)
      if (++added === 1) load.abort('aborted')
    })
    await settle()
    expect(await outcome).toBe('aborted')
    expect(asked).toEqual([['b']])
  })

  test('is not called if all have been aborted', async () => {
    const { run, cache, asked } = setUp()
    const outcome = run(['a']).catch((error: unknown) => error)
    const { add } = cache.activeLoads
    vi.spyOn(cache.activeLoads, 'add').mockImplementation((load) => {
      add.call(cache.activeLoads, load)
      load.abort('aborted')
    })
    await settle()
    expect([await outcome, asked]).toEqual(['aborted', []])
  })
})

describe('stale values of several keys', () => {
  const options = { ttl: '1h', staleWhileRevalidate: '1h' } as const

  test('are refreshed together in the background, apart from the missing ones', async () => {
    const found = { a: foundFor('stale a', 1), b: foundFor('stale b', 1) }
    const { run, asked, contexts, flights } = setUp({ options, found })
    expect(await run(['a', 'b', 'c'])).toEqual(['stale a', 'stale b', 'loaded c'])
    await expect.poll(() => asked).toEqual([['c'], ['a', 'b']])
    expect(contexts.map(({ background }) => background)).toEqual([false, true])
    await settle()
    expect(flights.findRefresh('a')).toBeUndefined()
  })

  test('are refreshed together although one lease is acquired later', async () => {
    const found = { a: foundFor('stale a', 1), b: foundFor('stale b', 1) }
    const { run, asked, cache } = setUp({ options, found })
    const { store } = cache.root
    const add = store.add.bind(store)
    vi.spyOn(store, 'add').mockImplementation(async (key, ...args) => {
      if (key === '~refresh:b') await settle()
      return add(key, ...args)
    })
    expect(await run(['a', 'b'])).toEqual(['stale a', 'stale b'])
    await expect.poll(() => asked.flat()).toHaveLength(2)
    expect(asked).toEqual([['a', 'b']])
  })
})

describe('an audit of several keys', () => {
  function setUpAudit(isSampled: boolean) {
    const hits: AuditedHit[] = []
    const audit = {
      isSampled: () => isSampled,
      begin: () => true,
      compare: async (hit: AuditedHit) => void hits.push(hit),
      pause: () => {},
    }
    const context = setUp({
      cache: { audit: audit as never },
      found: { a: foundFor('found', -1) },
      load: (keys, { background, of }) =>
        keys.map((key) => `${background} ${(of(key) as LoadContext).key}`),
    })
    return { ...context, hits }
  }

  test('loads a hit alone, and stores nothing', async () => {
    const { run, hits, asked, cache } = setUpAudit(true)
    expect(await run(['a'])).toEqual(['found'])
    await settle()
    expect(hits).toMatchObject([{ name: 'a', served: 'found', isStale: false }])
    expect(await hits[0]?.load()).toBe('true a')
    expect([asked, await cache.entries.store.get('a')]).toEqual([[['a']], undefined])
  })

  test('reads a hit as the cache does', async () => {
    const { run, hits, reads } = setUpAudit(true)
    await run(['a'])
    await settle()
    reads.length = 0
    expect(await hits[0]?.read('any')).toBe('found')
    expect(reads).toEqual([])
  })

  test('compares only its sample', async () => {
    const { run, hits } = setUpAudit(false)
    await run(['a'])
    await settle()
    expect(hits).toEqual([])
  })
})
