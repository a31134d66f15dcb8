import { CacheError, type LoadContext, type RememberOptions } from '@stowage/core'
import { ManualClock } from '@stowage/testing'
import { describe, expect, test, vi } from 'vitest'
import type { Found } from '../../src/freshness/entry-reader.ts'
import { runAsLoad } from '../../src/loading/current-load.ts'
import { LimitedCaller } from '../../src/loading/limited-caller.ts'
import { Flight, type FlightResult } from '../../src/loading/single-flight.ts'
import type { Call, LoadGroup, RememberCache } from '../../src/remember/load-job.ts'
import {
  join,
  joinOrLead,
  lead,
  readOrJoin,
  throwIfInBackoff,
} from '../../src/remember/remember.ts'
import { parseMark } from '../../src/values/mark.ts'
import { eventsDuring } from './events.ts'
import { loadJob, miss } from './load-job.ts'
import { gate, settle } from './two-processes.ts'

const strong = { consistency: 'strong' }
const down = new CacheError('ERR_CACHE_UNAVAILABLE', 'down', { operation: 'get' })
const loadFailedLately = {
  code: 'ERR_CACHE_LOAD',
  message: expect.stringContaining('remember failed: the loader failed lately'),
  operation: 'remember',
  key: 'k',
  retryable: true,
}

function markOf(text: string): Found {
  const item = `\x01\x02${text}`
  return { ...miss, item, mark: parseMark(item) }
}

interface CallSetUp {
  readonly options?: RememberOptions<string>
  readonly cache?: Partial<RememberCache>
  readonly root?: Partial<RememberCache['root']>
  readonly load?: (context: LoadContext<string>) => string | Promise<string>
  readonly attempt?: number
  readonly caller?: LimitedCaller
  readonly group?: Partial<LoadGroup>
  /** What later reads find. */
  readonly again?: Found | Error
}

/** A call whose outcome is recorded. */
function setUp(setUp: CallSetUp = {}) {
  const clock = new ManualClock()
  const { options = {}, cache = {}, root = {}, load, attempt = 0, caller, again = miss } = setUp
  const reads: unknown[][] = []
  const read = async (...args: unknown[]) => {
    reads.push(args)
    if (again instanceof Error) throw again
    return again
  }
  const released: string[] = []
  const group = setUp.group && {
    release: (key: string) => void released.push(key),
    hold: () => {},
    ...setUp.group,
  }
  const job = loadJob({
    clock,
    options,
    root,
    cache: { reader: { read }, ...cache },
    ...(load && { load }),
    ...(group && { group: group as LoadGroup }),
  })
  const noted: unknown[] = []
  const observed = {
    note: (outcome: string) => noted.push(outcome),
    noteFound: ({ item, staleMs }: Found) => noted.push([item, staleMs >= 0]),
  } as unknown as NonNullable<Call<string>['observed']>
  const call: Call<string> = { job, caller, observed, attempt }
  const { flights } = job.cache
  const stored = async () => {
    const item = await job.cache.entries.store.get('k')
    return item === undefined ? undefined : job.cache.entries.valueOf('k', item)
  }
  const fresh = { ...miss, item: job.cache.entries.encode('k', 'fresh'), staleMs: -1 }
  const found: Found = { ...fresh, entry: { value: 'fresh' }, isEntry: true }
  return { job, call, flights, noted, reads, released, stored, clock, found }
}

/** Leads a flight whose first read finds this. */
function leadWith({ call, flights }: ReturnType<typeof setUp>, found: Found | Error) {
  const flight = flights.begin('k')
  const read = vi.fn(async () => {
    if (found instanceof Error) throw found
    return found
  })
  const value = lead(flight, call, read)
  value.catch(() => {})
  return { flight, value, read }
}

describe('a call that reads its key', () => {
  test('returns a fresh value, and gives it to those that joined before', async () => {
    const context = setUp()
    const { flight, value } = leadWith(context, context.found)
    const joined = flight.result()
    const events = await eventsDuring('stowage:hit', async () => {
      expect(await value).toBe('fresh')
    })
    expect(events).toEqual([expect.objectContaining({ key: 'k' })])
    const { item } = context.found
    expect(await joined).toEqual({ item, source: 'read', isStale: false, audience: 'beforeRead' })
    expect([context.noted, context.flights.find('k')]).toEqual([[[item, false]], undefined])
  })

  test('loads a missing value, which is one miss', async () => {
    const context = setUp()
    const { flight, value } = leadWith(context, miss)
    const joined = flight.result()
    const shared: unknown[] = []
    const events = await eventsDuring('stowage:miss', async () => {
      shared.push(...(await eventsDuring('stowage:shared', () => value)))
      expect(await value).toBe('loaded')
    })
    expect([events, shared]).toEqual([[expect.objectContaining({ key: 'k' })], []])
    expect(await joined).toEqual({ item: '"loaded"', source: 'loaded', audience: 'all' })
    expect([context.noted, await context.stored()]).toEqual([['miss'], 'loaded'])
    expect(context.job.cache.leaseHolders.has('k')).toBe(false)
  })

  test('counts as a caller of its flight, in its own way', async () => {
    const caller = new LimitedCaller(false)
    const [limited, unlimited] = [setUp({ caller }), setUp()]
    const [first, second] = [limited, unlimited].map((each) => {
      const flight = each.flights.begin('k')
      const enter = vi.spyOn(flight, 'enter')
      void lead(flight, each.call, async () => each.found)
      return { flight, enter }
    })
    expect([first?.enter.mock.calls.length, second?.enter.mock.calls.length]).toEqual([1, 1])
    caller.giveUp('left')
    expect(first?.flight.givenUp).toEqual({ reason: 'left' })
    await settle()
  })

  test('loads without a claim if the read fails, and audits nothing for a while', async () => {
    const pause = vi.fn()
    const context = setUp({ cache: { audit: { pause, isSampled: () => false } as never } })
    const errors = await eventsDuring('stowage:error', async () => {
      expect(await leadWith(context, down).value).toBe('loaded')
    })
    expect(errors).toEqual([expect.objectContaining({ key: 'k', error: down })])
    expect(await context.stored()).toBeUndefined()
    expect(pause).toHaveBeenCalledOnce()
  })

  test('rejects as its load does, and so do those that have joined', async () => {
    const failure = new Error('database down')
    const context = setUp({ load: () => Promise.reject(failure), group: {} })
    const { flight, value } = leadWith(context, miss)
    const joined = flight.result()
    await expect(value).rejects.toBe(failure)
    await expect(joined).rejects.toBe(failure)
    expect(context.flights.find('k')).toBeUndefined()
    expect(context.job.cache.leaseHolders.has('k')).toBe(false)
    expect(context.released).toContain('k')
  })

  test('is waited for by the load that makes it', async () => {
    const loaded = gate<string>()
    const context = setUp({ load: () => loaded.opened })
    const outer = new Flight('outer')
    const flight = context.flights.begin('k')
    const value = runAsLoad({ flight: outer, bypassed: [] }, () =>
      lead(flight, context.call, async () => miss),
    )
    await settle()
    expect(outer.reaches(flight)).toBe(true)
    loaded.open('value')
    expect(await value).toBe('value')
    expect(outer.reaches(flight)).toBe(false)
  })

  test('lets the other keys of its group go on', async () => {
    const context = setUp({ group: {} })
    await leadWith(context, context.found).value
    expect(context.released).toEqual(['k'])
  })

  test.each([
    [0, true],
    [59_999, true],
    [60_000, false],
  ])('returns a value that is stale for %s ms, and refreshes it', async (staleMs, isServed) => {
    const context = setUp({ options: { ttl: '1h', staleWhileRevalidate: '1m' } })
    const { item } = context.found
    const refreshed = vi.spyOn(context.flights, 'beginRefresh')
    const { value } = leadWith(context, { ...context.found, staleMs })
    const events = await eventsDuring('stowage:stale', async () => {
      expect(await value).toBe(isServed ? 'fresh' : 'loaded')
    })
    expect(events).toHaveLength(isServed ? 1 : 0)
    expect(refreshed).toHaveBeenCalledTimes(isServed ? 1 : 0)
    expect(context.noted).toEqual([isServed ? [item, true] : 'miss'])
    await settle()
  })

  test('does not refresh a fresh value', async () => {
    const context = setUp()
    await leadWith(context, context.found).value
    expect(context.flights.findRefresh('k')).toBeUndefined()
  })

  test.each([
    [4, 'fresh'],
    [5, undefined],
  ] as const)(
    'offers callers with a timeout a value that is stale for %s ms',
    async (staleMs, offered) => {
      const loaded = gate<string>()
      const options = { staleIfError: 5, tags: ['t'] }
      const load = () => loaded.opened
      const context = setUp({ options, load })
      const entry = { value: 'fresh', facts: { freshUntil: 1 } }
      const again = { ...context.found, entry, staleMs }
      const reads: unknown[][] = []
      Object.assign(context.job.cache.reader, {
        read: async (...args: unknown[]) => {
          reads.push(args)
          return again
        },
      })
      const { flight, value } = leadWith(context, { ...context.found, entry, staleMs })
      await settle()
      expect(flight.stale?.decode()).toBe(offered)
      expect((await flight.stale?.readAgain())?.decode()).toBe(offered)
      expect(reads).toEqual(offered === undefined ? [] : [['k', ['t'], strong]])
      loaded.open('value')
      await value
    },
  )

  test('audits its hit, but not what it has waited for', async () => {
    const isSampled = vi.fn(() => false)
    const context = setUp({ cache: { audit: { isSampled, pause: () => {} } as never } })
    await leadWith(context, context.found).value
    expect(isSampled).toHaveBeenCalledOnce()
    const waiting = setUp({
      cache: { audit: { isSampled, pause: () => {} } as never },
      again: context.found,
    })
    await waiting.job.cache.entries.store.set('k', '\x01\x02Lother.0.5000', undefined)
    expect(await leadWith(waiting, miss).value).toBe('fresh')
    expect(isSampled).toHaveBeenCalledOnce()
  })
})

describe('a mark that a call finds', () => {
  const end = new ManualClock().now()

  test.each([
    ['not over', end + 1, true],
    ['over', end, false],
  ])('of a failure that is %s ends it', async (_, until, isFailed) => {
    const found = markOf(`Fother.0.50.${until}`)
    const context = setUp()
    await context.job.cache.entries.store.set('k', found.item, undefined)
    const { value } = leadWith(context, found)
    const events = await eventsDuring('stowage:miss', async () => {
      if (isFailed) await expect(value).rejects.toMatchObject(loadFailedLately)
      else expect(await value).toBe('loaded')
    })
    expect(events).toHaveLength(1)
  })

  test('of a failure without an end does not end it before it expires', async () => {
    const { value } = leadWith(setUp(), markOf('Fother.0.50'))
    await expect(value).rejects.toMatchObject(loadFailedLately)
  })

  test.each([
    ['not over', end + 1, false],
    ['over', end, true],
  ])('of a value that is not kept, and is %s', async (_, until, isStored) => {
    const found = markOf(`Pother.0.700.${until}`)
    const context = setUp()
    await context.job.cache.entries.store.set('k', found.item, undefined)
    const add = vi.spyOn(context.job.cache.hitForMiss, 'add')
    expect(await leadWith(context, found).value).toBe('loaded')
    expect(await context.stored()).toBe(isStored ? 'loaded' : undefined)
    expect(add.mock.calls).toEqual(isStored ? [] : [['k', 700]])
  })

  test.each([
    ['in progress', end + 1, false],
    ['over', end, true],
  ])('of a change that is %s', async (_, until, isStored) => {
    const found = markOf(`Cother.0.700.${until}`)
    const context = setUp()
    await context.job.cache.entries.store.set('k', found.item, undefined)
    expect(await leadWith(context, found).value).toBe('loaded')
    expect(await context.stored()).toBe(isStored ? 'loaded' : undefined)
  })

  test('in one of its tags prevents that the value is stored', async () => {
    const context = setUp({ options: { tags: ['t'] } })
    const found = { ...miss, versions: new Map([['t', '~.~']]) }
    const add = vi.spyOn(context.job.cache.entries.store, 'add')
    expect(await leadWith(context, found).value).toBe('loaded')
    expect(await context.job.cache.entries.store.get('k')).toBeUndefined()
    expect(add).not.toHaveBeenCalled()
  })

  test('in one of its tags does not prevent that a stale value is refreshed once', async () => {
    const context = setUp({ options: { tags: ['t'] } })
    const entry = { value: 'fresh', facts: { freshUntil: 1 } }
    const found = { ...context.found, entry, staleMs: 5, versions: new Map([['t', '~.~']]) }
    const add = vi.spyOn(context.job.cache.root.store, 'add')
    expect(await leadWith(context, found).value).toBe('loaded')
    expect(add.mock.calls.map(([key]) => key)).toEqual(['~refresh:k'])
  })

  test('of a lease makes it wait', async () => {
    const polled: string[] = []
    const polls = {
      wait: async () => {},
      read: (_: unknown, key: string) => void polled.push(key),
      lastReadAt: () => 0,
    }
    const context = setUp({ group: { polls } })
    Object.assign(context.job.cache.reader, { read: async () => context.found })
    const { flight, value } = leadWith(context, markOf('Lother.0.5000'))
    const joined = flight.result()
    expect(await value).toBe('fresh')
    expect([polled, context.noted]).toEqual([['k'], ['shared']])
    expect(await joined).toMatchObject({ source: 'awaited', isStale: false })
  })

  test('of a lease does not make it wait without the option', async () => {
    const found = markOf('Lother.0.5000')
    const polls = { wait: () => Promise.reject(down), read: () => {}, lastReadAt: () => 0 }
    const context = setUp({ options: { lease: false }, group: { polls } })
    await context.job.cache.entries.store.set('k', found.item, undefined)
    expect(await leadWith(context, found).value).toBe('loaded')
    expect(await context.stored()).toBe('loaded')
  })
})

describe('a value that could not be kept lately', () => {
  test.each([
    ['without an item', miss, undefined],
    ['in the place of a mark', markOf(`Pother.0.50.${new ManualClock().now()}`), 'loaded'],
  ])('is loaded %s', async (_, found, expected) => {
    const context = setUp()
    if (found.item !== undefined) {
      await context.job.cache.entries.store.set('k', found.item, undefined)
    }
    context.job.cache.hitForMiss.add('k', 1e6)
    await leadWith(context, found).value
    expect(await context.stored()).toBe(expected)
  })
})

describe('a forced refresh', () => {
  const options = { refresh: true } as const

  test('loads a fresh value again', async () => {
    const context = setUp({ options })
    const found = { ...context.found, entry: { value: 'fresh', facts: { id: 'x' } } }
    await context.job.cache.entries.store.set('k', found.item, undefined)
    expect(await leadWith(context, found).value).toBe('loaded')
    expect(await context.stored()).toBe('loaded')
  })

  test.each<[string, Partial<Found>, string]>([
    ['returns what was stored while it waited', {}, 'fresh'],
    [
      'loads what was only stored again',
      { entry: { value: 'fresh', facts: { isRewritten: true, id: 'x' } } },
      'loaded',
    ],
  ])('%s', async (_, different, expected) => {
    const context = setUp({ options })
    const { store } = context.job.cache.entries
    await store.set('k', '\x01\x02Lother.0.5000', undefined)
    const again = { ...context.found, ...different }
    Object.assign(context.job.cache.reader, {
      read: async () => {
        await store.set('k', again.item, undefined)
        return again
      },
    })
    expect(await leadWith(context, miss).value).toBe(expected)
  })

  test('loads what it has found first, also after a wait', async () => {
    const context = setUp({ options })
    const found = { ...context.found, entry: { value: 'fresh', facts: { id: 'x' } } }
    const { store } = context.job.cache.entries
    await store.set('k', found.item, undefined)
    const refresh = context.flights.beginRefresh('k')
    Object.assign(context.job.cache.reader, { read: async () => found })
    const { value } = leadWith(context, found)
    await settle()
    context.flights.end(refresh, { item: undefined, source: 'read', audience: 'nobody' })
    expect(await value).toBe('loaded')
  })
})

describe('a load that others take before', () => {
  test('is tried 100 times, and then made without a claim', async () => {
    const context = setUp()
    await context.job.cache.entries.store.set('k', '\x01\x02Lother.0.5000', undefined)
    const events = await eventsDuring('stowage:miss', async () => {
      expect(await leadWith(context, miss).value).toBe('loaded')
    })
    expect(events).toHaveLength(1)
    expect(context.reads).toHaveLength(100)
    expect(await context.job.cache.entries.store.get('k')).toBeDefined()
  })

  test.each<[number | undefined, string]>([
    [6, 'returns the stale value'],
    [undefined, 'rejects'],
  ])('and that has failed, %s', async (staleIfError) => {
    const options = { lease: false, staleIfError } as const
    const context = setUp({ options })
    const found = { ...context.found, staleMs: 5 }
    Object.assign(context.job.cache.reader, { read: async () => found })
    // A refresh of this process has failed.
    const { job } = context
    job.cache.hitForMiss.add('~failed k', 1e6, context.clock.monotonic())
    const { value } = leadWith(context, found)
    if (staleIfError === undefined) await expect(value).rejects.toMatchObject(loadFailedLately)
    else expect(await value).toBe('fresh')
  })
})

describe('a call that joins a flight', () => {
  const result = (different: Partial<FlightResult>): FlightResult => ({
    item: '"joined"',
    source: 'loaded',
    audience: 'all',
    ...different,
  })

  test.each<[string, Partial<FlightResult>, unknown, number, number]>([
    ['what it has loaded', {}, 'shared', 1, 0],
    ['what another process has loaded', { source: 'awaited' }, 'shared', 1, 0],
    ['what it has read', { source: 'read' }, ['"joined"', false], 0, 0],
    [
      'the stale value that it has read',
      { source: 'read', isStale: true },
      ['"joined"', true],
      0,
      1,
    ],
  ])('receives %s', async (_, different, note, shared, stale) => {
    const { call, flights, noted } = setUp()
    const flight = flights.begin('k')
    const value = join(flight, call)
    const stales: unknown[] = []
    const shares = await eventsDuring('stowage:shared', async () => {
      stales.push(
        ...(await eventsDuring('stowage:stale', async () => {
          flights.end(flight, result(different))
          expect(await value).toBe('joined')
        })),
      )
    })
    expect([noted, shares.length, stales.length]).toEqual([[note], shared, stale])
  })

  test('receives undefined if the loader has returned that, which no codec decodes', async () => {
    const { call, flights, job } = setUp()
    const decoded = vi.spyOn(job.cache.entries, 'valueOf')
    const flight = flights.begin('k')
    const value = join(flight, call)
    flights.end(flight, result({ item: undefined }))
    expect(await value).toBeUndefined()
    expect(decoded).not.toHaveBeenCalled()
  })

  test('is not noted again if it has received a stale value after its timeout', async () => {
    const caller = new LimitedCaller(true)
    for (const source of ['loaded', 'read'] as const) {
      const { call, flights, noted } = setUp({ caller })
      const flight = flights.begin('k')
      const value = join(flight, call)
      caller.isAnswered = true
      flights.end(flight, result({ source }))
      await value
      expect(noted).toEqual([])
    }
  })

  test('rejects as the flight does', async () => {
    const { call, flights } = setUp()
    const flight = flights.begin('k')
    const value = join(flight, call)
    flight.reject(down)
    await expect(value).rejects.toBe(down)
  })

  test('counts as one of its callers', async () => {
    const { call, flights } = setUp()
    const flight = flights.begin('k')
    const enter = vi.spyOn(flight, 'enter')
    const value = join(flight, call)
    expect(enter).toHaveBeenCalledOnce()
    flights.end(flight, result({}))
    await value
  })

  test('is waited for by the load that makes it', async () => {
    const { call, flights } = setUp()
    const flight = flights.begin('k')
    const outer = new Flight('outer')
    const value = runAsLoad({ flight: outer, bypassed: [] }, () => join(flight, call))
    await settle()
    expect(outer.reaches(flight)).toBe(true)
    flights.end(flight, result({}))
    await value
    expect(outer.reaches(flight)).toBe(false)
  })

  test('loads a private value itself, and stores nothing', async () => {
    const { call, flights, noted, stored, reads } = setUp()
    const flight = flights.begin('k')
    const value = join(flight, call)
    flights.end(flight, result({ audience: 'leader' }))
    expect(await value).toBe('loaded')
    expect([noted, await stored(), reads]).toEqual([['miss'], undefined, []])
  })

  test.each<[string, FlightResult['audience'], number, boolean]>([
    ['that was outdated', 'beforeLoad', 1, true],
    ['that was outdated for the third time', 'beforeLoad', 2, false],
    ['that was read before', 'beforeRead', 2, true],
    ['after a write', 'nobody', 2, false],
  ])(
    'reads again after a result %s, and at last loads alone',
    async (_, audience, attempt, reads) => {
      const context = setUp({ attempt })
      const flight = context.flights.begin('k')
      flight.beginLoad()
      const value = join(flight, context.call)
      context.flights.end(flight, result({ audience }))
      expect(await value).toBe('loaded')
      expect(context.reads).toEqual(reads ? [['k', [], strong]] : [])
      expect(await context.stored()).toBe(reads ? 'loaded' : undefined)
    },
  )

  test('joins the next flight of its key after an outdated result', async () => {
    const { call, flights, reads } = setUp()
    const flight = flights.begin('k')
    flight.beginLoad()
    const value = join(flight, call)
    flights.end(flight, result({ audience: 'beforeLoad' }))
    const next = flights.begin('k')
    await settle()
    flights.end(next, result({ item: '"next"' }))
    expect(await value).toBe('next')
    expect(reads).toEqual([])
  })

  test.each([
    [1, 'stored by another process'],
    [2, 'second load'],
  ])(
    'reads again if its own load has lost its lease, at last not: %s',
    async (attempt, expected) => {
      let loads = 0
      const load = ({ signal }: LoadContext<string>) =>
        ++loads > 1
          ? 'second load'
          : new Promise<string>((_, reject) => {
              signal.addEventListener('abort', () => reject(signal.reason))
            })
      const context = setUp({ attempt, load, options: { lease: 3 } })
      const found = { ...context.found, item: '"stored by another process"' }
      Object.assign(context.job.cache.reader, { read: async () => found })
      const { value } = leadWith(context, miss)
      await settle()
      await context.job.cache.entries.store.set('k', found.item, undefined)
      expect(await value).toBe(expected)
    },
  )
})

describe('a loader that needs its own key', () => {
  function setUpNested(load?: (context: LoadContext<string>) => string) {
    const context = setUp(load && { load })
    const flight = context.flights.begin('k')
    const nested = (bypassed: Flight[] = []) =>
      runAsLoad({ flight, bypassed }, () => join(flight, context.call))
    return { ...context, flight, nested }
  }

  test('receives what its own loader returns, which is not stored', async () => {
    const { nested, noted, stored } = setUpNested()
    expect(await nested()).toBe('loaded')
    expect([noted, await stored()]).toEqual([['miss'], undefined])
  })

  test('receives a value of its own', async () => {
    const loaded = { name: 'Ada' }
    const value = await setUpNested(() => loaded as never).nested()
    expect(value).toEqual(loaded)
    expect(value).not.toBe(loaded)
  })

  test('may receive undefined', async () => {
    const { nested } = setUpNested(() => undefined as never)
    expect(await nested()).toBeUndefined()
  })

  test('has a context like any other, without a stale value', async () => {
    const seen: unknown[] = []
    const { nested } = setUpNested(({ key, background, stale }) => {
      seen.push(key, background, stale)
      return 'value'
    })
    expect(await nested()).toBe('value')
    expect(seen).toEqual(['k', false, undefined])
  })

  test('rejects if it does so without end', async () => {
    const { nested, flight } = setUpNested()
    await expect(nested([flight])).rejects.toThrow('remember() calls itself without end')
    const { nested: other } = setUpNested()
    expect(await other([new Flight('other')])).toBe('loaded')
  })

  test('rejects in the load that it has begun for itself', async () => {
    const { call, flights, flight } = setUpNested()
    const load = (): Promise<string> => join(flight, { ...call, job })
    const job = { ...call.job, load }
    const nested = runAsLoad({ flight, bypassed: [] }, () => join(flight, { ...call, job }))
    await expect(nested).rejects.toThrow('remember() calls itself without end')
    expect(flights.find('k')).toBe(flight)
  })
})

describe('a call for a key that another one reads', () => {
  test.each([
    [-1, {}, true],
    [4, { staleWhileRevalidate: 5 }, true],
    [5, { staleWhileRevalidate: 5 }, false],
    [0, {}, false],
  ])('reads it as well: stale for %s ms', async (staleMs, options, isServed) => {
    const context = setUp({ options })
    Object.assign(context.job.cache.reader, { read: async () => ({ ...context.found, staleMs }) })
    const flight = context.flights.begin('k')
    const refreshed = vi.spyOn(context.flights, 'beginRefresh')
    const value = readOrJoin(flight, context.call)
    await settle()
    expect(refreshed).toHaveBeenCalledTimes(isServed && staleMs >= 0 ? 1 : 0)
    context.flights.end(flight, { item: '"joined"', source: 'loaded', audience: 'all' })
    expect(await value).toBe(isServed ? 'fresh' : 'joined')
    expect(context.noted).toEqual([isServed ? [context.found.item, staleMs >= 0] : 'shared'])
  })

  test('publishes the hit', async () => {
    const context = setUp()
    Object.assign(context.job.cache.reader, { read: async () => context.found })
    const events = await eventsDuring('stowage:hit', () =>
      readOrJoin(context.flights.begin('k'), context.call),
    )
    expect(events).toHaveLength(1)
  })

  test('does not receive what was read before it, but what was read next', async () => {
    const { call, flights, reads } = setUp({ options: { tags: ['t'] } })
    const flight = flights.begin('k')
    const value = readOrJoin(flight, call)
    flight.beginRead()
    flight.endRead()
    await settle()
    expect(reads).toEqual([['k', ['t']]])
    flights.end(flight, { item: '"read"', source: 'read', audience: 'beforeRead' })
    expect(await value).toBe('read')
  })

  test('joins the flight that has begun meanwhile, or leads one', async () => {
    const { call, flights } = setUp()
    const flight = flights.begin('k')
    const value = readOrJoin(flight, call)
    flights.end(flight)
    const next = flights.begin('k')
    await settle()
    flights.end(next, { item: '"next"', source: 'loaded', audience: 'all' })
    expect(await value).toBe('next')
  })

  test('joins a flight if its own read fails', async () => {
    const { call, flights } = setUp({ again: down })
    const flight = flights.begin('k')
    const value = readOrJoin(flight, call)
    await settle()
    flights.end(flight, { item: '"joined"', source: 'loaded', audience: 'all' })
    expect(await value).toBe('joined')
  })
})

describe('a call that has read its key', () => {
  test('leads a flight', async () => {
    const { call, found } = setUp()
    expect(await joinOrLead(call, () => found)).toBe('fresh')
  })

  test('joins the one that exists, which has only read before', async () => {
    const { call, flights } = setUp()
    const flight = flights.begin('k')
    flight.beginRead()
    flight.endRead()
    const value = joinOrLead(call, () => Promise.reject(down))
    flights.end(flight, { item: '"read"', source: 'read', audience: 'beforeRead' })
    expect(await value).toBe('read')
  })

  test.each([
    ['rejects during the backoff of a failed load', 1, false, true],
    ['goes on after it', 0, false, false],
    ['joins a load that has begun', 1, true, false],
  ])('%s', async (_, more, hasFlight, isRejected) => {
    const { job, flights, clock } = setUp()
    if (hasFlight) flights.begin('k')
    const { mark } = markOf(`Fother.0.50.${clock.now() + more}`)
    const events = await eventsDuring('stowage:miss', async () => {
      const checked = throwIfInBackoff(job, mark as NonNullable<typeof mark>)
      if (isRejected) await expect(checked).rejects.toMatchObject(loadFailedLately)
      else expect(await checked).toBeUndefined()
    })
    expect(events).toHaveLength(isRejected ? 1 : 0)
  })
})
