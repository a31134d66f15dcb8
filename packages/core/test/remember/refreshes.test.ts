import { CacheError, type RememberOptions } from '@stowage/core'
import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { ManualClock, referenceStore } from '@stowage/testing'
import { describe, expect, test, vi } from 'vitest'
import type { Audit, AuditedHit } from '../../src/audit/audit.ts'
import type { Found } from '../../src/freshness/entry-reader.ts'
import { beginLocalBackoff } from '../../src/leases/hit-for-miss.ts'
import { Flight, noResult } from '../../src/loading/single-flight.ts'
import { auditHit, auditIfSampled, refreshInBackground } from '../../src/remember/background.ts'
import type { LoadGroup, RememberCache } from '../../src/remember/load-job.ts'
import { parseMark } from '../../src/values/mark.ts'
import { eventsDuring } from './events.ts'
import { loadJob } from './load-job.ts'
import { gate, settle } from './two-processes.ts'

const down = new CacheError('ERR_CACHE_UNAVAILABLE', 'down', { operation: 'test' })
const strong = { consistency: 'strong' }
const refreshKey = '~refresh:k'
const lease = '\x01\x02Lother.0.5000'

interface RefreshSetUp {
  readonly options?: RememberOptions<string>
  readonly cache?: Partial<RememberCache>
  readonly store?: (backend: ByteStore) => ByteStore
  /** What the refresh finds, if not the stale value. */
  readonly found?: Partial<Found>
  readonly group?: LoadGroup
}

/** A key with a value that has been stale for 5 ms, and a loader that counts its calls. */
async function setUp(setUp: RefreshSetUp = {}) {
  const clock = new ManualClock()
  const backend = referenceStore({ clock })
  const store = setUp.store?.(backend) ?? backend
  const loads: boolean[] = []
  const loaded = gate<string>()
  const reads: unknown[][] = []
  const read = async (...args: unknown[]) => {
    reads.push(args)
    return { ...found, ...setUp.found }
  }
  const job = loadJob({
    options: { ttl: '1h', staleWhileRevalidate: '1h', ...setUp.options },
    store,
    clock,
    cache: { reader: { read }, ...setUp.cache },
    ...(setUp.group && { group: setUp.group }),
    load: ({ background }) => {
      loads.push(background)
      return loaded.opened
    },
  })
  const facts = { freshUntil: clock.now() - 5, tags: { t: 'x.0' } }
  const item = job.cache.entries.encode('k', 'stale', facts)
  await backend.set('k', item as string)
  const found: Found = {
    item,
    entry: { value: 'stale', facts },
    isEntry: true,
    staleMs: 5,
    mark: undefined,
    versions: new Map(),
  }
  const { flights } = job.cache
  return { job, clock, backend, loads, loaded, reads, found, flights }
}

type SetUp = Awaited<ReturnType<typeof setUp>>

describe('a refresh in the background', () => {
  test('reads the value again, loads it, and stores what was loaded', async () => {
    const { job, backend, flights, loads, loaded, reads } = await setUp({
      options: { tags: ['t'] },
    })
    refreshInBackground(job)
    const flight = flights.findRefresh('k')
    const joined = flight?.result()
    await settle()
    expect(reads).toEqual([['k', ['t'], strong]])
    expect([loads, flights.findRefresh('k') === flight]).toEqual([[true], true])
    expect(job.cache.leaseHolders.get(`refresh ${refreshKey}`)).toBe(flight)
    expect(parseMark(backend.get(refreshKey))?.kind).toBe('lease')
    loaded.open('new')
    expect(await joined).toMatchObject({ source: 'loaded', audience: 'all' })
    await settle()
    expect(flights.findRefresh('k')).toBeUndefined()
    expect(job.cache.leaseHolders.has(`refresh ${refreshKey}`)).toBe(false)
    expect(job.cache.entries.valueOf('k', backend.get('k'))).toBe('new')
    expect(job.cache.hitForMiss.has(refreshKey)).toBe(false)
  })

  test('begins when the callers of this turn have received the stale value', async () => {
    const { job, reads } = await setUp()
    const before: number[] = []
    refreshInBackground(job)
    void Promise.resolve().then(() => before.push(reads.length))
    await settle()
    expect([before, reads.length]).toEqual([[0], 1])
  })

  test('is known to close(), to waitUntil, and to the group of its key', async () => {
    const works: unknown[] = []
    const group = { addRefresh: (...args: unknown[]) => works.push(args) } as unknown as LoadGroup
    const waitUntil = (work: Promise<void>) => works.push(work)
    const { job, loads } = await setUp({ cache: { waitUntil }, group })
    refreshInBackground(job)
    const [added, work] = works
    expect(added).toEqual(['k', work])
    await settle()
    expect(loads).toEqual([true])
    await job.cache.activeLoads.close('closed')
    expect(await work).toBeUndefined()
  })

  test('is waited for by close(), also while it reads', async () => {
    const { job } = await setUp()
    const read = gate<Found>()
    job.cache.reader.read = () => read.opened
    refreshInBackground(job)
    await settle()
    let isClosed = false
    const closed = job.cache.activeLoads.close('closed').then(() => {
      isClosed = true
    })
    await settle()
    expect(isClosed).toBe(false)
    read.fail(down)
    await eventsDuring('stowage:error', () => closed)
  })

  test.each<[string, (context: SetUp) => unknown]>([
    ['this process does already', ({ flights }) => flights.beginRefresh('k')],
    ['another process does', ({ job }) => job.cache.hitForMiss.add(refreshKey, 1e6)],
  ])('does not begin if %s', async (_, prepare) => {
    const context = await setUp()
    prepare(context)
    const before = context.flights.findRefresh('k')
    refreshInBackground(context.job)
    expect(context.flights.findRefresh('k')).toBe(before)
    await settle()
    expect(context.reads).toEqual([])
  })

  test.each([
    [false, []],
    ['5s', [true]],
  ] as const)('pauses after a failure, without a lease: option %s', async (option, expected) => {
    const { job, loads } = await setUp({ options: { lease: option } })
    beginLocalBackoff(job.cache, 'k', 100)
    refreshInBackground(job)
    await settle()
    expect(loads).toEqual(expected)
  })

  test.each<[string, Partial<Found>]>([
    ['deleted', { entry: undefined, staleMs: Infinity }],
    ['refreshed', { staleMs: -1 }],
  ])('ends if the value has been %s', async (_, found) => {
    const { job, flights, loads } = await setUp({ found })
    refreshInBackground(job)
    const joined = flights.findRefresh('k')?.result()
    await settle()
    expect(await joined).toBe(noResult)
    expect([loads, flights.findRefresh('k')]).toEqual([[], undefined])
  })

  test('loads a value that has just become stale', async () => {
    const { job, loads } = await setUp({ found: { staleMs: 0 } })
    refreshInBackground(job)
    await settle()
    expect(loads).toEqual([true])
  })

  test('ends if the store fails, and publishes that', async () => {
    const cache = { reader: { read: () => Promise.reject(down) } }
    const { job, flights, loads } = await setUp({ cache })
    refreshInBackground(job)
    const joined = flights.findRefresh('k')?.result()
    const errors = await eventsDuring('stowage:error', settle)
    expect(errors).toEqual([expect.objectContaining({ key: 'k', error: down })])
    expect(await joined).toBe(noResult)
    expect([loads, flights.findRefresh('k')]).toEqual([[], undefined])
  })

  test('ends if its load fails, and lets others take the lease', async () => {
    const { job, loaded, flights } = await setUp()
    refreshInBackground(job)
    await settle()
    const errors = await eventsDuring('stowage:error', async () => {
      loaded.fail(new Error('database down'))
      await settle()
    })
    expect(errors).toEqual([
      expect.objectContaining({ error: expect.objectContaining({ message: 'database down' }) }),
    ])
    expect(flights.findRefresh('k')).toBeUndefined()
    expect(job.cache.leaseHolders.has(`refresh ${refreshKey}`)).toBe(false)
  })

  test('is left to another process that has the lease, and not tried again for 100 ms', async () => {
    const { job, backend, flights, loads } = await setUp()
    await backend.set(refreshKey, lease)
    const now = performance.now()
    const clock = vi.spyOn(performance, 'now').mockReturnValue(now)
    refreshInBackground(job)
    const joined = flights.findRefresh('k')?.result()
    expect(await eventsDuring('stowage:error', settle)).toEqual([])
    expect(await joined).toBe(noResult)
    expect(loads).toEqual([])
    clock.mockRestore()
    const times = [now + 99, now + 100]
    expect(times.map((time) => job.cache.hitForMiss.has(refreshKey, time))).toEqual([true, false])
  })

  test('is left to another flight of this process that has the lease', async () => {
    const { job, loads, backend } = await setUp()
    job.cache.leaseHolders.hold(`refresh ${refreshKey}`, new Flight('k'))
    refreshInBackground(job)
    await settle()
    expect([loads, backend.get(refreshKey)]).toEqual([[], undefined])
    expect(job.cache.leaseHolders.has(`refresh ${refreshKey}`)).toBe(true)
    expect(job.cache.hitForMiss.has(refreshKey)).toBe(false)
  })

  test('does not load if the lease cannot be stored', async () => {
    const store = (backend: ByteStore) =>
      wrapStore(backend, (operation, call) => {
        if (operation === 'add') throw down
        return call()
      })
    const { job, loads, flights } = await setUp({ store })
    refreshInBackground(job)
    await eventsDuring('stowage:error', settle)
    expect([loads, flights.findRefresh('k')]).toEqual([[], undefined])
  })

  test.each([
    ['reads', () => {}, [true]],
    ['loads', (flight: Flight) => flight.beginLoad(), []],
  ] as const)('without a lease, is left to a caller that %s', async (_, proceed, expected) => {
    const { job, flights, loads } = await setUp({ options: { lease: false } })
    proceed(flights.begin('k'))
    refreshInBackground(job)
    await settle()
    expect(loads).toEqual(expected)
  })

  test('without a lease, stores what was loaded', async () => {
    const { job, backend, loaded } = await setUp({ options: { lease: false } })
    refreshInBackground(job)
    loaded.open('new')
    await settle()
    expect(job.cache.entries.valueOf('k', backend.get('k'))).toBe('new')
  })
})

describe('an audited hit', () => {
  /** An audit that records the hits. */
  function recordingAudit({ isSampled = true, begins = true, compare = async () => {} } = {}) {
    const hits: AuditedHit[] = []
    const audit = {
      isSampled: () => isSampled,
      begin: () => begins,
      compare: (hit: AuditedHit) => {
        hits.push(hit)
        return compare()
      },
    } as unknown as Audit
    return { audit, hits }
  }

  async function auditOne(setUpOne: RefreshSetUp = {}, audited = recordingAudit()) {
    const context = await setUp(setUpOne)
    auditHit(audited.audit, context.job, context.found)
    await settle()
    return { ...context, hits: audited.hits }
  }

  test('is compared with the source, without storing what was loaded', async () => {
    const { hits, loaded, backend, loads, found } = await auditOne()
    expect(hits).toMatchObject([{ name: 'k', event: { key: 'k' }, served: 'stale', isStale: true }])
    const load = hits[0]?.load()
    loaded.open('new')
    expect(await load).toBe('new')
    expect(loads).toEqual([true])
    expect(String(backend.get('k'))).toBe(String(found.item))
  })

  test('may have no value in the source any more', async () => {
    const { hits, loaded } = await auditOne()
    loaded.open(undefined as never)
    expect(await hits[0]?.load()).toBeUndefined()
  })

  test.each([
    [0, true, undefined],
    [-1, false, 'stale'],
  ])('is stale after %s ms, and then not read as a value', async (staleMs, isStale, value) => {
    const audited = recordingAudit()
    const { job, found, reads } = await setUp({ found: { staleMs } })
    auditHit(audited.audit, job, { ...found, staleMs })
    await settle()
    const [hit] = audited.hits
    expect(hit?.isStale).toBe(isStale)
    expect(await hit?.read('any')).toBe(value)
    expect(await hit?.read('primary')).toBe(value)
    expect(reads).toEqual([
      ['k', [], undefined],
      ['k', [], strong],
    ])
  })

  test('is a miss when the entry is gone', async () => {
    const { hits } = await auditOne({ found: { entry: undefined, staleMs: -1 } })
    expect(await hits[0]?.read('any')).toBeUndefined()
  })

  test('is described by its tags and the rest of its ttl', async () => {
    const reads: unknown[] = []
    const store = (backend: ByteStore) =>
      wrapStore(backend, async (operation, call, args) => {
        reads.push([operation, ...args])
        return call()
      })
    const { hits, backend } = await auditOne({ store })
    await backend.touch('k', 700)
    expect(await hits[0]?.describe()).toEqual({ tags: { t: 'x.0' }, ttlMs: 700 })
    expect(reads).toEqual([['getWithTtl', ['k'], strong]])
    await backend.delete('k')
    expect(await hits[0]?.describe()).toMatchObject({ ttlMs: undefined })
  })

  test('has no ttl on a backend that does not reveal it, and no tags without facts', async () => {
    const store = (backend: ByteStore) => {
      const own: Partial<ByteStore> = wrapStore(backend, (_, call) => call())
      delete own.getWithTtl
      return own as ByteStore
    }
    const audited = recordingAudit()
    const { job, found } = await setUp({ store })
    auditHit(audited.audit, job, { ...found, entry: { value: 'stale' } })
    await settle()
    expect(await audited.hits[0]?.describe()).toEqual({ tags: {}, ttlMs: undefined })
  })

  test.each<[string, RefreshSetUp, boolean, number]>([
    ['if its loader may be called', {}, true, 1],
    ['not if the option forbids it', { options: { audit: false } }, true, 0],
    ['not if the audit is busy', {}, false, 0],
    ['not while a fallback is used', { cache: { recovery: { isPrimary: false } } }, true, 0],
    ['on the primary store', { cache: { recovery: { isPrimary: true } } }, true, 1],
  ])('is compared %s', async (_, setUpOne, begins, count) => {
    const { hits } = await auditOne(setUpOne, recordingAudit({ begins }))
    expect(hits).toHaveLength(count)
  })

  test.each([
    [true, 1],
    [false, 0],
  ])('is compared if it is one of the sample: %s', async (isSampled, count) => {
    const { audit, hits } = recordingAudit({ isSampled })
    const { job, found } = await setUp({ cache: { audit } })
    auditIfSampled(job, found)
    await settle()
    expect(hits).toHaveLength(count)
    auditIfSampled((await setUp()).job, found)
  })

  test('is compared after its caller has received it, and before close() ends', async () => {
    const compared = gate()
    const audited = recordingAudit({ compare: () => compared.opened })
    const works: Promise<void>[] = []
    const { job, found } = await setUp({ cache: { waitUntil: (work) => works.push(work) } })
    auditHit(audited.audit, job, found)
    const before: number[] = []
    void Promise.resolve().then(() => before.push(audited.hits.length))
    await settle()
    expect([before, audited.hits.length, works.length]).toEqual([[0], 1, 1])
    let isClosed = false
    const closed = job.cache.activeLoads.close('closed').then(() => {
      isClosed = true
    })
    await settle()
    expect(isClosed).toBe(false)
    compared.open()
    await closed
  })

  test('whose comparison fails is published', async () => {
    const audited = recordingAudit({ compare: () => Promise.reject(down) })
    const errors = await eventsDuring('stowage:error', () => auditOne({}, audited))
    expect(errors).toEqual([expect.objectContaining({ key: 'k', error: down })])
  })
})
