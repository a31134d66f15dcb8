import { CacheError, type LoadContext, type RememberOptions } from '@stowage/core'
import { ManualClock } from '@stowage/testing'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type Claim, noClaim } from '../../src/leases/claims.ts'
import { RecordingContext } from '../../src/loading/load-context.ts'
import type { RememberCache } from '../../src/remember/load-job.ts'
import { endClaim, endOfFailedLoad, storeLoadedValue } from '../../src/remember/store-value.ts'
import type { Mark } from '../../src/values/mark.ts'
import { eventsDuring } from './events.ts'
import { loadJob, recordedClaim } from './load-job.ts'
import { gate, settle } from './two-processes.ts'

const down = new CacheError('ERR_CACHE_UNAVAILABLE', 'down', { operation: 'test' })
const monotonicNow = 1_000
const anyPassed = expect.objectContaining({ kind: 'hitForMiss', ms: 1_000 })

beforeEach(() => void vi.spyOn(performance, 'now').mockReturnValue(monotonicNow))
afterEach(() => void vi.restoreAllMocks())

interface LoadedSetUp {
  readonly value?: string | undefined
  readonly load?: (context: LoadContext<string>) => void
  readonly options?: RememberOptions<string>
  readonly claim?: Partial<Claim>
  readonly versions?: ReadonlyMap<string, string>
  readonly root?: Partial<RememberCache['root']>
  readonly writes?: (operation: string) => unknown
  readonly stale?: object
  readonly startedAt?: number
}

/** A load that has returned its value, which is stored by `store`. */
function setUpLoaded(setUp: LoadedSetUp = {}) {
  const { load, options = {}, root = {}, versions = new Map(), startedAt = monotonicNow } = setUp
  const value = 'value' in setUp ? setUp.value : 'value'
  const clock = new ManualClock()
  const job = loadJob<string | undefined>({ options: options as object, clock, root })
  const stale = setUp.stale === undefined ? undefined : { value: 'stale', facts: setUp.stale }
  const context = new RecordingContext<string | undefined>('k', false, stale)
  load?.(context as LoadContext<string>)
  const flight = job.cache.flights.begin('k')
  flight.beginLoad()
  const { claim: recorded, calls } = recordedClaim(setUp.claim)
  const claim = setUp.claim === noClaim ? noClaim : recorded
  const store = () => storeLoadedValue(job, flight, { value, context, claim, versions, startedAt })
  return { job, flight, calls, clock, context, store }
}

/** Whether a promise has settled before anything else happens. */
async function settling<T>(result: Promise<T>) {
  let isSettled = false
  const note = () => {
    isSettled = true
  }
  result.then(note, note)
  await settle()
  return { result, isSettled }
}

/** Tags with this version, which are not invalidated meanwhile. */
function tagsWith(version: string | undefined, created = version) {
  const reads: unknown[] = []
  const tags: RememberCache['root']['tags'] = {
    read: async (names, options) => {
      reads.push([...names, options])
      return new Map(names.map((name) => [name, version]))
    },
    create: async (versions) => new Map([...versions].map(([name]) => [name, created])),
  }
  return { reads, root: { tags } }
}

describe('a loaded value', () => {
  test('is stored as the codec encodes it, without facts if it needs none', async () => {
    const estimate = vi.fn()
    const { calls, store } = setUpLoaded({ root: { time: { estimate } as never } })
    const result = { item: '"value"', source: 'loaded', audience: 'all' }
    expect(await store()).toEqual(result)
    expect([calls, estimate.mock.calls]).toEqual([[['replace', '"value"', undefined]], []])
  })

  test('is not joined any more while it is stored', async () => {
    const stored = gate<boolean>()
    const { job, flight, store } = setUpLoaded({ claim: { replace: () => stored.opened } })
    expect(job.cache.flights.find('k')).toBe(flight)
    const storing = store()
    await settle()
    expect(job.cache.flights.find('k')).toBeUndefined()
    expect(job.cache.flights.writeBacks('k')).toHaveLength(1)
    stored.open(false)
    expect(await storing).toMatchObject({ audience: 'beforeLoad' })
  })

  test('is stored for its ttl and the stale window', async () => {
    const { job, calls, clock, store } = setUpLoaded({ options: { ttl: 10, staleIfError: 5 } })
    const { item } = await store()
    expect(calls).toEqual([['replace', item, 15]])
    const { facts } = job.cache.entries.decode('k', item) ?? {}
    const now = clock.now()
    expect(facts).toEqual({ freshUntil: now + 10, expiresAt: now + 15 })
  })

  test.each([{ ttl: 10 }, { ttl: null, staleIfError: 5 }])(
    'needs no facts without a window after its ttl: %o',
    async (options) => {
      const { calls, store } = setUpLoaded({ options })
      await store()
      expect(calls).toEqual([['replace', '"value"', options.ttl ?? undefined]])
    },
  )

  test('has an id if it has facts, but no window', async () => {
    const { job, store } = setUpLoaded({ load: (context) => context.setValidators({ etag: '1' }) })
    const { item } = await store()
    const { facts } = job.cache.entries.decode('k', item) ?? {}
    expect(facts).toEqual({ etag: '1', id: expect.any(String) })
  })

  test('is only returned without a claim', async () => {
    const { store } = setUpLoaded({ claim: noClaim })
    expect(await store()).toEqual({ item: '"value"', source: 'loaded', audience: 'beforeLoad' })
  })

  test('ends the claim if the key has been written, and waits for that', async () => {
    const ended = gate<boolean>()
    const { flight, calls, store } = setUpLoaded({ claim: { end: () => ended.opened } })
    flight.isCurrent = false
    const { result, isSettled } = await settling(store())
    expect([calls, isSettled]).toEqual([[['end', undefined]], false])
    ended.open(true)
    expect(await result).toMatchObject({ audience: 'beforeLoad' })
  })

  test.each(['ERR_CACHE_LIMIT', 'ERR_CACHE_REJECTED'] as const)(
    'that the backend refuses with %s is loaded without a lease for a second',
    async (code) => {
      const error = new CacheError(code, 'refused', { operation: 'set' })
      const { job, calls, store } = setUpLoaded({ claim: { replace: () => Promise.reject(error) } })
      const errors = await eventsDuring('stowage:error', async () => {
        expect(await store()).toMatchObject({ audience: 'all' })
      })
      expect(errors).toEqual([expect.objectContaining({ key: 'k', error })])
      expect(calls.slice(1)).toEqual([['end', anyPassed]])
      expect(job.cache.hitForMiss.has('k', monotonicNow + 999)).toBe(true)
      expect(job.cache.hitForMiss.has('k', monotonicNow + 1_000)).toBe(false)
    },
  )

  test('whose write fails keeps its claim: it may have been stored', async () => {
    const { job, calls, store } = setUpLoaded({ claim: { replace: () => Promise.reject(down) } })
    expect(await store()).toMatchObject({ audience: 'beforeLoad' })
    expect([calls.length, job.cache.hitForMiss.has('k')]).toEqual([1, false])
  })
})

describe('a value that is not kept', () => {
  const skip = (context: LoadContext<string>) => context.skip({ for: 700 })

  test.each([true, false])('is loaded without a lease if it had one: %s', async (canBeLost) => {
    const { job, calls, store } = setUpLoaded({ load: skip, claim: { canBeLost } })
    expect(await store()).toEqual({ item: '"value"', source: 'loaded', audience: 'all' })
    expect(calls).toEqual([['end', expect.objectContaining({ kind: 'hitForMiss', ms: 700 })]])
    expect(job.cache.hitForMiss.has('k', monotonicNow + 699)).toBe(canBeLost)
    expect(job.cache.hitForMiss.has('k', monotonicNow + 700)).toBe(false)
  })

  test.each([
    ['undefined', { value: undefined }, undefined],
    ['a ttl of 0', { options: { ttl: 0 } }, '"value"'],
  ])('is one with %s', async (_, setUp, item) => {
    const { calls, store } = setUpLoaded(setUp)
    expect(await store()).toEqual({ item, source: 'loaded', audience: 'all' })
    expect(calls).toEqual([['end', anyPassed]])
  })
})

describe('callers that joined a load whose value is not kept', () => {
  const skip = (context: LoadContext<string>) => context.skip()
  const skipPrivately = (context: LoadContext<string>) => context.skip({ share: false })
  const lost = { end: async () => false }
  const t = new Map([['t', 'x.0']])

  test.each<[string, LoadedSetUp, string]>([
    ['receive it', { load: skip }, 'all'],
    ['do not receive it after a write', { load: skip, claim: lost }, 'beforeLoad'],
    ['do not receive a private one', { load: skipPrivately }, 'leader'],
    ['do not receive one with tags', { load: skip, versions: t }, 'beforeLoad'],
    [
      'do not receive one with late tags',
      {
        load: (context) => {
          context.skip()
          context.addTags('t')
        },
      },
      'beforeLoad',
    ],
  ])('%s', async (_, setUp, audience) => {
    const { job, store } = setUpLoaded(setUp)
    const result = store()
    expect(job.cache.flights.find('k')).toBeUndefined()
    expect(await result).toMatchObject({ audience })
  })
})

describe('a stale value without a successor', () => {
  const replacesStale = true

  test.each<[string, LoadedSetUp, string]>([
    ['for all callers', { claim: { replacesStale } }, 'all'],
    [
      'for those that joined before a write',
      { claim: { replacesStale, replace: async () => false } },
      'beforeLoad',
    ],
    [
      'for one caller only',
      { claim: { replacesStale }, load: (context) => context.skip({ share: false }) },
      'leader',
    ],
  ])('is deleted %s', async (_, setUp, audience) => {
    const { job, calls, store } = setUpLoaded({ value: undefined, ...setUp })
    const result = store()
    expect(job.cache.flights.find('k')).toBeUndefined()
    expect(await result).toEqual({ item: undefined, source: 'loaded', audience })
    expect(calls).toEqual([['replace', undefined, undefined]])
  })
})

describe('the versions of tags', () => {
  const invalidated = (before: number) => `x.${(new ManualClock().now() - before).toString(36)}-id`
  const lateTag = { load: (context: LoadContext<string>) => context.addTags('t') }

  test.each([
    [351, true],
    [350, false],
    [0, false],
  ])('that became known late let the value be stored: changed %s ms ago', async (ago, isStored) => {
    const version = invalidated(ago)
    const { root, reads } = tagsWith(version)
    // The clocks of processes may differ by 50 ms.
    const { job, calls, store } = setUpLoaded({ ...lateTag, root, startedAt: monotonicNow - 300 })
    const { item, audience } = await store()
    expect(audience).toBe(isStored ? 'all' : 'beforeLoad')
    expect(calls.map(([name]) => name)).toEqual([isStored ? 'replace' : 'end'])
    expect(reads[0]).toEqual(['t', { consistency: 'strong' }])
    const { facts } = job.cache.entries.decode('k', item) ?? {}
    expect(facts?.tags).toEqual(isStored ? { t: version } : undefined)
  })

  test.each([
    ['is being changed', tagsWith(undefined, '~.~')],
    ['cannot be created', tagsWith(undefined, undefined)],
  ])('let no value be stored if one %s', async (_, { root }) => {
    const { calls, store } = setUpLoaded({ ...lateTag, root })
    expect(await store()).toEqual({ item: '"value"', source: 'loaded', audience: 'beforeLoad' })
    expect(calls).toEqual([['end', undefined]])
  })

  test('let no value be stored if one was being changed before the load', async () => {
    const { root } = tagsWith('~.~')
    const { calls, store } = setUpLoaded({
      options: { tags: ['t'] },
      versions: new Map([['t', '~.~']]),
      root,
    })
    expect(await store()).toEqual({ item: '"value"', source: 'loaded', audience: 'beforeLoad' })
    expect(calls).toEqual([['end', undefined]])
  })

  test('end the claim if they prevent that the value is stored, and wait for that', async () => {
    const { root } = tagsWith(undefined)
    const ended = gate<boolean>()
    const { store } = setUpLoaded({ ...lateTag, root, claim: { end: () => ended.opened } })
    const { result, isSettled } = await settling(store())
    expect(isSettled).toBe(false)
    ended.open(true)
    expect(await result).toMatchObject({ audience: 'beforeLoad' })
  })

  test.each([
    ['x.0', 'all'],
    ['y.0', 'beforeLoad'],
  ])('are read again when the value has been stored: %s', async (version, audience) => {
    const { root, reads } = tagsWith(version)
    const versions = new Map([['t', 'x.0']])
    const { job, store } = setUpLoaded({ options: { tags: ['t'] }, versions, root })
    const { item, ...result } = await store()
    expect(result).toEqual({ source: 'loaded', audience })
    expect(job.cache.entries.decode('k', item)?.facts?.tags).toEqual({ t: 'x.0' })
    expect(reads).toEqual([['t', { consistency: 'strong' }]])
  })

  test('are not read for a value without tags', async () => {
    const { root, reads } = tagsWith('x.0')
    await setUpLoaded({ root }).store()
    expect(reads).toEqual([])
  })

  test('that were known before the load need no time of the backend', async () => {
    const { root } = tagsWith('x.0')
    const time = { read: () => Promise.reject(down) } as never
    const options = { tags: ['t'] }
    const versions = new Map([['t', 'x.0']])
    const { store } = setUpLoaded({ options, versions, root: { ...root, time } })
    expect(await store()).toMatchObject({ audience: 'all' })
  })
})

describe('the parts of a value', () => {
  const addPart = (context: LoadContext<string>) => void context.addPart('body', 'part')
  const keepPart = {
    stale: { parts: ['kept'] },
    load: (context: LoadContext<string>) => void context.notModified(),
  }

  test('are stored before it, for its ttl, the stale window and a minute', async () => {
    const { job, calls, context, store } = setUpLoaded({
      load: addPart,
      options: { ttl: 10, staleIfError: 5 },
    })
    const stored = gate()
    const set = vi.spyOn(job.cache.entries.store, 'set').mockReturnValue(stored.opened)
    const storing = store()
    await settle()
    const [name] = context.parts.map((part) => part.name)
    expect(set.mock.calls).toEqual([[name, '"part"', 60_015]])
    expect(calls).toEqual([])
    stored.open()
    expect(await storing).toMatchObject({ audience: 'all' })
    expect(calls).toHaveLength(1)
  })

  test('that are missing replace it by nothing, before the load ends', async () => {
    const ended = gate<boolean>()
    const { job, calls, store } = setUpLoaded({
      ...keepPart,
      claim: { replace: () => ended.opened },
    })
    const { result, isSettled } = await settling(store())
    expect([calls, isSettled]).toEqual([[['replace', undefined, undefined]], false])
    expect(job.cache.flights.writeBacks('k')).toHaveLength(1)
    ended.open(true)
    expect(await result).toMatchObject({ audience: 'beforeLoad' })
  })

  test('that exist stay with it', async () => {
    const { job, calls, store } = setUpLoaded({ ...keepPart, options: { ttl: 10 } })
    const touch = vi.spyOn(job.cache.entries.store, 'touch').mockReturnValue(true)
    expect(await store()).toMatchObject({ audience: 'all' })
    expect(touch.mock.calls).toEqual([['kept', 60_010]])
    expect(calls).toEqual([['replace', expect.anything(), 10]])
  })

  test.each([true, false])(
    'that cannot be stored end the claim, of a load with a lease: %s',
    async (canBeLost) => {
      const ended = gate<boolean>()
      const { job, calls, store } = setUpLoaded({
        load: addPart,
        claim: { canBeLost, end: () => ended.opened },
      })
      vi.spyOn(job.cache.entries.store, 'set').mockRejectedValue(down)
      let storing = Promise.resolve<unknown>(undefined)
      const errors = await eventsDuring('stowage:error', async () => {
        const { result, isSettled } = await settling(store())
        storing = result
        expect([calls, isSettled]).toEqual([[['end', anyPassed]], false])
      })
      expect(errors).toEqual([expect.objectContaining({ key: 'k', error: down })])
      ended.open(true)
      expect(await storing).toMatchObject({ audience: 'beforeLoad' })
      expect(job.cache.hitForMiss.has('k')).toBe(canBeLost)
    },
  )
})

describe('the end of a claim', () => {
  test('without a value tells other processes why, but not beside a stale value', () => {
    const ends = [false, true].map((replacesStale) =>
      endOfFailedLoad({ ...noClaim, replacesStale }),
    )
    expect(ends).toEqual([{ kind: 'hitForMiss', ms: 1_000 }, undefined])
  })

  test('that fails is published once, and not certain', async () => {
    const { claim } = recordedClaim({ end: () => Promise.reject(down) })
    const errors = await eventsDuring('stowage:error', async () => {
      expect(await endClaim(loadJob(), claim)).toBe(false)
    })
    expect(errors).toEqual([expect.objectContaining({ key: 'k', error: down })])
  })

  test('has a mark that ends when all processes think so', async () => {
    const clock = new ManualClock()
    const { claim, calls } = recordedClaim()
    expect(await endClaim(loadJob({ clock }), claim, { kind: 'failure', ms: 100 })).toBe(true)
    const [[, mark]] = calls as [[string, Mark]]
    expect(mark).toMatchObject({ kind: 'failure', ms: 100, end: clock.now() + 150 })
  })

  test('throws what is not a failure of the store', async () => {
    const { claim } = recordedClaim({ end: () => Promise.reject(new TypeError('defect')) })
    await expect(endClaim(loadJob(), claim)).rejects.toThrow('defect')
  })
})
