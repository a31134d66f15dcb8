import { CacheError, type RememberOptions } from '@stowage/core'
import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { ManualClock, referenceStore } from '@stowage/testing'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { Found } from '../../src/freshness/entry-reader.ts'
import { noClaim } from '../../src/leases/claims.ts'
import { beginLocalBackoff } from '../../src/leases/hit-for-miss.ts'
import type { LeasePolls } from '../../src/leases/lease-wait.ts'
import { runAsLoad } from '../../src/loading/current-load.ts'
import { Flight, noResult } from '../../src/loading/single-flight.ts'
import {
  type ClaimStep,
  claimOrWait,
  type LoadStart,
  unclaimedAfter,
  usesLease,
} from '../../src/remember/claim-load.ts'
import type { LoadGroup, RememberCache } from '../../src/remember/load-job.ts'
import { parseMark } from '../../src/values/mark.ts'
import { eventsDuring } from './events.ts'
import { loadJob, miss } from './load-job.ts'
import { settle } from './two-processes.ts'

const refreshKey = '~refresh:k'
const strong = { consistency: 'strong' }
const errorOf = (code: 'ERR_CACHE_TIMEOUT' | 'ERR_CACHE_UNAVAILABLE' | 'ERR_CACHE_CLOSED') =>
  new CacheError(code, 'no reply', { operation: 'add' })

afterEach(() => void vi.restoreAllMocks())

/** A flight for the key, and what its reads find. `found` is what it has read. */
function setUp({
  options = {} as RememberOptions<string>,
  store = undefined as ByteStore | undefined,
  root = {} as Partial<RememberCache['root']>,
  polls = undefined as LeasePolls | undefined,
  again = miss,
} = {}) {
  const clock = new ManualClock()
  const backend = referenceStore({ clock })
  const reads: unknown[][] = []
  const read = async (...args: unknown[]) => {
    reads.push(args)
    return again
  }
  const grouped: string[] = []
  const group = {
    polls,
    hold: (key: string) => grouped.push(`hold ${key}`),
    release: (key: string) => grouped.push(`release ${key}`),
  } as unknown as LoadGroup
  const cache = { reader: { read } }
  const job = loadJob({ options, store: store ?? backend, clock, cache, root, group })
  const flight = job.cache.flights.begin('k')
  const claim = (found: Found, step: ClaimStep = 'claim') => claimOrWait(flight, job, found, step)
  const stored = async (key = 'k') => parseMark(await job.cache.entries.store.get(key))
  return { job, flight, claim, backend, stored, clock, reads, again, grouped }
}

/** A value that has been stale for 5 ms, and is stored under the key. */
async function storeStale({ job }: ReturnType<typeof setUp>, staleMs = 5): Promise<Found> {
  const facts = { freshUntil: 1 }
  const { store } = job.cache.entries
  await store.set('k', job.cache.entries.encode('k', 'stale', facts), undefined)
  const item = await store.get('k')
  return { ...miss, item, entry: { value: 'stale', facts }, isEntry: true, staleMs }
}

describe('a load that finds no value', () => {
  test('takes a lease in the key', async () => {
    const { job, flight, claim, stored } = setUp({ options: { lease: 700 } })
    const start = (await claim(miss)) as LoadStart
    expect(start).toMatchObject({ kind: 'load', found: miss, versions: new Map() })
    expect(start.claim).toMatchObject({ canBeLost: true, replacesStale: false })
    expect(await stored()).toMatchObject({ kind: 'lease', ms: 700 })
    expect(job.cache.leaseHolders.get('k')).toBe(flight)
    flight.stopHolding?.()
    expect(job.cache.leaseHolders.get('k')).toBeUndefined()
  })

  test('replaces the mark that it has found', async () => {
    const { job, claim, stored } = setUp()
    const mark = '\x01\x02Pother.0.50'
    await job.cache.entries.store.set('k', mark, undefined)
    expect(await claim({ ...miss, item: mark })).toMatchObject({ kind: 'load' })
    expect(await stored()).toMatchObject({ kind: 'lease', ms: 5_000 })
  })

  test('reads the key again if another process has taken the lease', async () => {
    const { job, claim, again, reads, flight } = setUp({ options: { tags: ['t'] } })
    await job.cache.entries.store.set('k', '\x01\x02Lother.0.5000', undefined)
    expect(await claim(miss)).toEqual({ kind: 'found', found: again })
    expect(reads).toEqual([['k', ['t'], strong]])
    expect(job.cache.leaseHolders.has('k')).toBe(false)
    // A caller that joined before this read receives what it has found.
    expect(flight.isReceivedBy(1, { ...noResult, audience: 'beforeRead' })).toBe(true)
    expect(flight.isReceivedBy(2, { ...noResult, audience: 'beforeRead' })).toBe(false)
  })

  test.each<[string, RememberOptions, ByteStore | undefined]>([
    ['without the option', { lease: false }, undefined],
    ['on a store that other processes do not reach', {}, memory()],
  ])('takes no lease %s', async (_, options, store) => {
    const { job, claim, stored } = setUp({ options: options as RememberOptions<string>, store })
    const start = (await claim(miss)) as LoadStart
    expect(start).toMatchObject({ kind: 'load', found: miss })
    expect(start.claim).toMatchObject({ canBeLost: false, replacesStale: false })
    expect([await stored(), job.cache.leaseHolders.has('k')]).toEqual([undefined, false])
  })

  test('waits for the flight of this process that has the lease', async () => {
    const { job, flight, claim, again, grouped } = setUp()
    const holder = new Flight('k')
    job.cache.leaseHolders.hold('k', holder)
    const outcome = claim(miss)
    await settle()
    expect([grouped, flight.reaches(holder)]).toEqual([['release k'], true])
    holder.reject('failed')
    expect(await outcome).toEqual({ kind: 'found', found: again })
    expect([grouped, flight.reaches(holder)]).toEqual([['release k', 'hold k'], false])
  })

  test('does not wait for a flight that waits for this one', async () => {
    const { job, flight, claim, grouped } = setUp()
    const holder = new Flight('k')
    holder.startWaitingFor(flight)
    job.cache.leaseHolders.hold('k', holder)
    expect(await claim(miss)).toMatchObject({ kind: 'load', claim: noClaim, found: miss })
    expect(grouped).toEqual([])
  })

  test('has no claim if its value cannot be kept', async () => {
    const { claim, stored } = setUp()
    const start = await claim(miss, 'unclaimed')
    expect(start).toEqual({ kind: 'load', claim: noClaim, found: miss, versions: new Map() })
    expect(await stored()).toBeUndefined()
  })
})

describe('a load that replaces a stale value', () => {
  test('takes a lease beside it', async () => {
    const context = setUp({ options: { lease: 700 } })
    const found = await storeStale(context)
    const start = (await context.claim(found)) as LoadStart
    expect(start).toMatchObject({ kind: 'load', found })
    expect(start.claim).toMatchObject({ canBeLost: true, replacesStale: true })
    expect(await context.stored(refreshKey)).toMatchObject({ kind: 'lease', ms: 700 })
    expect(await context.job.cache.entries.store.get('k')).toEqual(found.item)
    expect(await start.claim.replace('new', undefined)).toBe(true)
    expect(String(await context.job.cache.entries.store.get('k'))).toBe('new')
  })

  test('takes a lease on every store, because callers read the value meanwhile', async () => {
    const context = setUp({ store: memory() })
    const found = await storeStale(context)
    const start = (await context.claim(found)) as LoadStart
    expect(start.claim).toMatchObject({ canBeLost: true, replacesStale: true })
  })

  test('takes none without the option', async () => {
    const context = setUp({ options: { lease: false } })
    const found = await storeStale(context)
    const start = (await context.claim(found)) as LoadStart
    expect(start.claim).toMatchObject({ canBeLost: false, replacesStale: true })
    expect(await context.stored(refreshKey)).toBeUndefined()
    expect(await start.claim.replace('new', undefined)).toBe(true)
  })

  test('is refused for a while after a failure, without a lease', async () => {
    const context = setUp({ options: { lease: false } })
    const found = await storeStale(context)
    beginLocalBackoff(context.job.cache, 'k', 100)
    expect(await context.claim(found)).toEqual({ kind: 'failed', found: context.again })
    expect(context.reads).toEqual([['k', [], strong]])
    await context.clock.advance(100)
    expect(await context.claim(found)).toMatchObject({ kind: 'load' })
  })

  test('waits for the refresh of this process', async () => {
    const context = setUp()
    const found = await storeStale(context)
    const refresh = context.job.cache.flights.beginRefresh('k')
    const outcome = context.claim(found)
    await settle()
    expect(context.flight.reaches(refresh)).toBe(true)
    refresh.resolve(noResult)
    expect(await outcome).toEqual({ kind: 'found', found: context.again })
  })

  test('stores a fresh value again before, so that it differs from later ones', async () => {
    const context = setUp()
    const found = await storeStale(context, -5)
    const start = (await context.claim(found)) as LoadStart
    expect(start.claim).toMatchObject({ replacesStale: true })
    expect(start.found?.entry?.facts).toMatchObject({ isRewritten: true })
    expect(await start.claim.replace('new', undefined)).toBe(true)
  })

  test('reads the key again if a fresh value has been replaced', async () => {
    const context = setUp()
    const found = await storeStale(context, -5)
    await context.job.cache.entries.store.set('k', 'other', undefined)
    expect(await context.claim(found)).toEqual({ kind: 'found', found: context.again })
    expect(await context.stored(refreshKey)).toBeUndefined()
  })

  test('replaces a fresh value by a lease on a backend that does not reveal its ttl', async () => {
    const store: Partial<ByteStore> = wrapStore(referenceStore(), (_, call) => call())
    delete store.getWithTtl
    const context = setUp({ store: store as ByteStore })
    const found = await storeStale(context, -5)
    const start = (await context.claim(found)) as LoadStart
    expect(start.claim).toMatchObject({ canBeLost: true, replacesStale: false })
    expect(await context.stored()).toMatchObject({ kind: 'lease', ms: 5_000 })
  })

  test('waits if another process has the lease', async () => {
    const polled: unknown[] = []
    const polls = pollsOf([['k', undefined]], polled)
    const context = setUp({ polls })
    const found = await storeStale(context)
    await context.job.cache.entries.store.set(refreshKey, '\x01\x02Lother.0.5000', undefined)
    expect(await context.claim(found)).toEqual({ kind: 'found', found: context.again })
    expect(polled).toEqual(['k', refreshKey])
    expect(context.job.cache.leaseHolders.has(`refresh ${refreshKey}`)).toBe(false)
  })
})

describe('a lease that may or may not have been stored', () => {
  const failing = (code: Parameters<typeof errorOf>[0]) =>
    wrapStore(referenceStore(), (operation, call) => {
      if (operation === 'get' || operation === 'set') return call()
      throw errorOf(code)
    })

  test.each([
    ['ERR_CACHE_TIMEOUT', true],
    ['ERR_CACHE_UNAVAILABLE', false],
  ] as const)('in a key without an item stores no value: %s', async (code, canBeLost) => {
    const { claim, job } = setUp({ store: failing(code) })
    let start: LoadStart | undefined
    const errors = await eventsDuring('stowage:error', async () => {
      start = (await claim(miss)) as LoadStart
    })
    expect(errors).toEqual([expect.objectContaining({ key: 'k', error: errorOf(code) })])
    expect(start).toMatchObject({ kind: 'load', found: miss })
    expect([start?.claim.canBeLost, start?.claim === noClaim]).toEqual([canBeLost, !canBeLost])
    job.cache.entries.store.compareAndSet = () => true
    expect(await start?.claim.replace('item', undefined)).toBe(false)
  })

  test('in the place of an item may store a value', async () => {
    const { claim, job } = setUp({ store: failing('ERR_CACHE_TIMEOUT') })
    const { claim: claimed } = (await claim({ ...miss, item: '\x01\x02Pother.0.50' })) as LoadStart
    job.cache.entries.store.compareAndSet = () => true
    expect(await claimed.replace('item', undefined)).toBe(true)
  })

  test('beside a stale value may store a value', async () => {
    const context = setUp({ store: failing('ERR_CACHE_TIMEOUT') })
    const start = (await context.claim(await storeStale(context))) as LoadStart
    expect(start.claim).toMatchObject({ canBeLost: true, replacesStale: true })
  })

  test('in the place of a fresh value that cannot be stored again stores no value', async () => {
    const store = failing('ERR_CACHE_TIMEOUT') as Partial<ByteStore>
    delete store.getWithTtl
    const context = setUp({ store: store as ByteStore })
    const { claim, found } = (await context.claim(await storeStale(context, -5))) as LoadStart
    expect(found?.entry?.value).toBe('stale')
    context.job.cache.entries.store.compareAndSet = () => true
    expect(await claim.replace('item', undefined)).toBe(false)
  })
})

describe('the tags of a load', () => {
  const versions = new Map([
    ['known', 'x.0'],
    ['missing', undefined],
  ])

  test.each([
    ['with a lease', {}],
    ['without a lease', { lease: false as const }],
  ])('are created before it if they are missing: %s', async (_, options) => {
    const created: unknown[] = []
    const tags = {
      create: async (names: ReadonlyMap<string, unknown>) => {
        created.push(...names)
        return new Map([['missing', 'y.0']])
      },
    } as never
    const { claim } = setUp({ options: { ...options, tags: ['known', 'missing'] }, root: { tags } })
    expect(await claim({ ...miss, versions })).toMatchObject({
      versions: new Map([
        ['known', 'x.0'],
        ['missing', 'y.0'],
      ]),
    })
    expect(created).toEqual([['missing', undefined]])
  })

  test('are not created if all are known', async () => {
    const tags = { create: () => Promise.reject(errorOf('ERR_CACHE_UNAVAILABLE')) } as never
    const { claim } = setUp({ options: { tags: ['known'] }, root: { tags } })
    const errors = await eventsDuring('stowage:error', async () => {
      expect(await claim({ ...miss, versions })).toMatchObject({ versions })
    })
    expect(errors).toEqual([])
  })

  test('that cannot be created do not end it', async () => {
    const error = errorOf('ERR_CACHE_UNAVAILABLE')
    const tags = { create: () => Promise.reject(error) } as never
    const { claim, stored } = setUp({ options: { tags: ['missing'] }, root: { tags } })
    const errors = await eventsDuring('stowage:error', async () => {
      expect(await claim({ ...miss, versions })).toMatchObject({ kind: 'load', versions })
    })
    expect(errors).toEqual([expect.objectContaining({ key: 'k', error })])
    expect(await stored()).toMatchObject({ kind: 'lease' })
  })
})

/** Polls that read these pairs of a key and its item, one after another. */
function pollsOf(
  items: readonly (readonly [string, unknown])[],
  polled: unknown[] = [],
  readAt: number[] = [],
): LeasePolls {
  const left = new Map<string, unknown[]>()
  for (const [key, item] of items) left.set(key, [...(left.get(key) ?? []), item])
  return {
    wait: async () => {},
    read: (_, key) => {
      polled.push(key)
      const next = left.get(key) ?? []
      return next.length > 1 ? next.shift() : next[0]
    },
    lastReadAt: () => readAt.shift() ?? 0,
  }
}

describe('a load that waits for another process', () => {
  const lease = '\x01\x02Lother.0.50'
  const own = { ...miss, item: lease }

  test('reads what that one has stored', async () => {
    const { claim, again, grouped, flight } = setUp({ polls: pollsOf([['k', undefined]]) })
    const times = [100]
    vi.spyOn(performance, 'now').mockImplementation(() => times.shift() ?? 107)
    const events = await eventsDuring('stowage:wait', async () => {
      expect(await claim(own, 'wait')).toEqual({ kind: 'found', found: again })
    })
    const event = { key: 'k', outcome: 'changed', durationMs: 7 }
    expect(events).toEqual([expect.objectContaining(event)])
    expect(grouped).toEqual(['release k', 'hold k'])
    // The poll, and the read after it.
    expect(flight.step).toBe(3)
  })

  /** A wait beside a stale value, where the lease has become this mark. */
  async function waitBesideStale(mark: string) {
    const context = setUp()
    const found = await storeStale(context)
    const polls = pollsOf([
      ['k', found.item],
      [refreshKey, mark],
    ])
    Object.assign(context.job.group as LoadGroup, { polls })
    return { ...context, found, outcome: await context.claim(found, 'wait') }
  }

  test('reads a stale value again if the load has failed', async () => {
    const { outcome, again, reads } = await waitBesideStale('\x01\x02Fother.0.50.9')
    expect(outcome).toEqual({ kind: 'failed', found: again })
    expect(reads).toHaveLength(1)
  })

  test('loads for itself what that one could not keep', async () => {
    const { outcome, found, reads } = await waitBesideStale('\x01\x02Pother.0.50.9')
    expect(outcome).toEqual({ kind: 'load', claim: noClaim, found, versions: new Map() })
    expect(reads).toEqual([])
  })

  test('takes over a lease that is not renewed', async () => {
    const { job, claim, stored } = setUp({ polls: pollsOf([['k', lease]], [], [0, 0, 50]) })
    await job.cache.entries.store.set('k', lease, undefined)
    expect(await claim(own, 'wait')).toMatchObject({ kind: 'load', found: own })
    expect(await stored()).toMatchObject({ kind: 'lease', ms: 5_000 })
  })

  test('waits for a flight of this process that takes the lease', async () => {
    const { job, flight, claim, again } = setUp()
    const holder = new Flight('k')
    job.cache.leaseHolders.hold('k', holder)
    const outcome = claim(own, 'wait')
    await settle()
    expect(flight.reaches(holder)).toBe(true)
    holder.resolve(noResult)
    expect(await outcome).toEqual({ kind: 'found', found: again })
  })

  test('waits for a flight of this process that has the lease beside a stale value', async () => {
    const context = setUp()
    const found = await storeStale(context)
    const holder = new Flight('k')
    context.job.cache.leaseHolders.hold(`refresh ${refreshKey}`, holder)
    const outcome = context.claim(found, 'wait')
    await settle()
    expect(context.flight.reaches(holder)).toBe(true)
    holder.resolve(noResult)
    expect(await outcome).toEqual({ kind: 'found', found: context.again })
  })

  test('reads the key as soon as a flight of this process takes the lease', async () => {
    const { job, claim, again } = setUp({ polls: pollsOf([['k', lease]]) })
    const outcome = claim(own, 'wait')
    job.cache.leaseHolders.hold('k', new Flight('k'))
    expect(await outcome).toEqual({ kind: 'found', found: again })
  })

  test('waits for the lease beside a stale value, which it has found', async () => {
    const polled: unknown[] = []
    const context = setUp()
    const found = await storeStale(context)
    const polls = pollsOf(
      [
        ['k', found.item],
        [refreshKey, lease],
        [refreshKey, undefined],
      ],
      polled,
    )
    Object.assign(context.job.group as LoadGroup, { polls })
    expect(await context.claim(found, 'wait')).toEqual({ kind: 'found', found: context.again })
    expect(polled).toEqual(['k', refreshKey, 'k', refreshKey])
  })

  test('waits for one second at most if another load waits for it', async () => {
    const times = [0, 0, 0, 1_001]
    vi.spyOn(performance, 'now').mockImplementation(() => times.shift() ?? 1_001)
    const { claim, flight } = setUp({ polls: pollsOf([['k', lease]]) })
    const outer = { flight: new Flight('outer'), bypassed: [] }
    const outcome = await runAsLoad(outer, () => claim(own, 'wait'))
    expect(outcome).toMatchObject({ kind: 'load', claim: noClaim, found: own })
    expect(flight.step).toBe(2)
  })

  test('waits longer otherwise', async () => {
    const times = [0, 0, 0, 1_001]
    vi.spyOn(performance, 'now').mockImplementation(() => times.shift() ?? 1_001)
    const polls = pollsOf([
      ['k', lease],
      ['k', undefined],
    ])
    expect(await setUp({ polls }).claim(own, 'wait')).toMatchObject({ kind: 'found' })
  })

  test('gives a value to callers that joined before it was read, if that did not fail', async () => {
    const error = errorOf('ERR_CACHE_UNAVAILABLE')
    const { job, claim, flight } = setUp({ polls: pollsOf([['k', undefined]]) })
    job.cache.reader.read = () => Promise.reject(error)
    expect(await claim(own, 'wait')).toMatchObject({ kind: 'load', claim: noClaim })
    expect(flight.isReceivedBy(1, { ...noResult, audience: 'beforeRead' })).toBe(false)
  })

  test('loads for itself if the store fails, and publishes that', async () => {
    const error = errorOf('ERR_CACHE_UNAVAILABLE')
    const read = () => Promise.reject(error)
    const { claim } = setUp({ polls: { ...pollsOf([]), read } })
    const errors = await eventsDuring('stowage:error', async () => {
      const outcome = await claim(own, 'wait')
      expect(outcome).toEqual({ kind: 'load', claim: noClaim, found: own, versions: new Map() })
    })
    expect(errors).toEqual([expect.objectContaining({ key: 'k', error })])
  })
})

test('a load after a failed read has no claim, unless the store has been closed', async () => {
  const job = loadJob()
  const errors = await eventsDuring('stowage:error', async () => {
    const start = unclaimedAfter(errorOf('ERR_CACHE_UNAVAILABLE'), job, miss)
    expect(start).toEqual({ kind: 'load', claim: noClaim, found: miss, versions: new Map() })
  })
  expect(errors).toHaveLength(1)
  expect(() => unclaimedAfter(errorOf('ERR_CACHE_CLOSED'), job)).toThrow('no reply')
  expect(() => unclaimedAfter(new TypeError('defect'), job)).toThrow('defect')
})

test.each([
  [undefined, referenceStore(), true, true],
  [undefined, memory(), false, true],
  [false, referenceStore(), false, false],
] as const)('a load uses a lease: option %s', (lease, store, ofMissing, ofStale) => {
  const job = loadJob({ options: { lease }, store })
  const stale = { ...miss, entry: { value: 'stale' } }
  expect([usesLease(job, miss), usesLease(job, stale)]).toEqual([ofMissing, ofStale])
})
