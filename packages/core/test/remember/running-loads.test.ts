import { type LoadContext, type RememberOptions, tracing } from '@stowage/core'
import { ManualClock } from '@stowage/testing'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Found } from '../../src/freshness/entry-reader.ts'
import type { Claim } from '../../src/leases/claims.ts'
import { isInLocalBackoff } from '../../src/leases/hit-for-miss.ts'
import { currentLoadOf } from '../../src/loading/current-load.ts'
import { noResult } from '../../src/loading/single-flight.ts'
import type { LoadGroup, RememberCache } from '../../src/remember/load-job.ts'
import { loadUnstored, runLoad, staleIfError } from '../../src/remember/run-load.ts'
import { eventsDuring } from './events.ts'
import { loadJob, miss, recordedClaim } from './load-job.ts'
import { gate, settle } from './two-processes.ts'

type Load = (context: LoadContext<string>) => string | Promise<string>

/** A value that has been stale for 5 ms. */
const stale: Found = {
  ...miss,
  item: '"stale"',
  entry: { value: 'stale' },
  isEntry: true,
  staleMs: 5,
}
const failure = new Error('database down')
const fail: Load = () => Promise.reject(failure)
const failed = (ms: number) => expect.objectContaining({ kind: 'failure', ms })
const passed = expect.objectContaining({ kind: 'hitForMiss', ms: 1_000 })

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

interface LoadSetUp {
  readonly load?: Load
  readonly options?: RememberOptions<string>
  readonly claim?: Partial<Claim>
  readonly found?: Found | undefined
  readonly isBackground?: boolean
  readonly cache?: Partial<RememberCache>
  readonly group?: LoadGroup
}

/** A load that begins with `run`. */
function setUp(setUp: LoadSetUp = {}) {
  const { load = () => 'value', options = {}, cache = {}, isBackground, found = miss } = setUp
  const clock = new ManualClock()
  const renewals: string[] = []
  let lose: (() => void) | undefined
  const keepAlive = (onLost: () => void) => {
    renewals.push('begin')
    lose = onLost
    return () => void renewals.push('stop')
  }
  const { claim, calls } = recordedClaim({ keepAlive, ...setUp.claim })
  const { group } = setUp
  const job = loadJob({ options, clock, cache, load, ...(group && { group }) })
  const flight = job.cache.flights.begin('k')
  const start = { kind: 'load', claim, found, versions: new Map() } as const
  const run = () => runLoad(job, flight, start, isBackground)
  return { job, flight, run, calls, clock, renewals, lose: () => lose?.() }
}

describe('a load', () => {
  test('calls the loader, and stores its value when the lease is not renewed any more', async () => {
    const loaded = gate<string>()
    const { flight, run, calls, renewals } = setUp({ load: () => loaded.opened })
    const result = run()
    expect([flight.step, renewals, calls]).toEqual([2, ['begin'], []])
    expect(flight.abort).toBeTypeOf('function')
    loaded.open('value')
    expect(await result).toEqual({ item: '"value"', source: 'loaded', audience: 'all' })
    expect([renewals, calls]).toEqual([['begin', 'stop'], [['replace', '"value"', undefined]]])
    expect([flight.abort, vi.getTimerCount()]).toEqual([undefined, 0])
  })

  test('gives the loader its key, and the stale value', async () => {
    const seen: unknown[] = []
    const load: Load = ({ key, background, stale: value }) => {
      seen.push(key, background, value)
      return 'value'
    }
    await setUp({ load, found: stale }).run()
    await setUp({ load, isBackground: true }).run()
    expect(seen).toEqual(['k', false, 'stale', 'k', true, undefined])
  })

  test('makes the flight known to the loader', async () => {
    let seen: unknown
    const { flight, run } = setUp({
      load: async () => {
        seen = currentLoadOf()
        return 'value'
      },
    })
    await run()
    expect(seen).toEqual({ flight, bypassed: [] })
  })

  test('measures tags that become known late from the call of the loader on', async () => {
    const times = [100]
    vi.spyOn(performance, 'now').mockImplementation(() => times.shift() ?? 400)
    const version = (ms: number) => `x.${(new ManualClock().now() - ms).toString(36)}-id`
    for (const [ms, audience] of [
      [351, 'all'],
      [350, 'beforeLoad'],
    ] as const) {
      times.unshift(100)
      const { job, run } = setUp({
        load: (context) => {
          context.addTags('t')
          return 'value'
        },
      })
      const versions = new Map([['t', version(ms)]])
      const tags = { read: async () => versions, create: async () => versions }
      Object.assign(job.cache.root, { tags })
      expect(await run()).toMatchObject({ audience })
    }
  })

  test('is not begun if all callers have given up', async () => {
    const load = vi.fn(fail)
    const { flight, run, calls } = setUp({ load, options: { backoff: 50 } })
    flight.enter()
    flight.leave('left')
    await expect(run()).rejects.toBe('left')
    expect([load.mock.calls, flight.isAbandoned]).toEqual([[], true])
    expect(calls).toEqual([['end', undefined]])
  })

  test('that all callers leave ends its claim, and rejects with the reason', async () => {
    const ended = gate<boolean>()
    const pause = vi.fn()
    const { flight, run, calls, renewals } = setUp({
      load: () => new Promise(() => {}),
      options: { backoff: 50, staleIfError: '1h' },
      found: stale,
      claim: { end: () => ended.opened },
      cache: { audit: { pause } as never },
    })
    flight.enter()
    let isSettled = false
    const result = run().finally(() => {
      isSettled = true
    })
    result.catch(() => {})
    flight.leave('left')
    await settle()
    expect([calls, renewals, isSettled]).toEqual([[['end', undefined]], ['begin', 'stop'], false])
    ended.open(true)
    await expect(result).rejects.toBe('left')
    expect(pause).not.toHaveBeenCalled()
  })

  test('aborts its signal when it loses its lease, and has no result if it fails then', async () => {
    let signal: AbortSignal | undefined
    const loaded = gate<string>()
    const { run, calls, lose } = setUp({
      load: (context) => {
        signal = context.signal
        return loaded.opened
      },
    })
    const result = run()
    expect(signal?.aborted).toBe(false)
    lose()
    const name = 'LeaseLostError'
    const message =
      'The key was written or deleted during the load, so its value will not be stored.'
    expect(signal?.reason).toMatchObject({ name, message })
    loaded.fail(failure)
    expect(await result).toBe(noResult)
    expect(calls).toEqual([])
  })

  test('whose value cannot be encoded fails', async () => {
    const { run, calls } = setUp({ load: () => 1n as never })
    await expect(run()).rejects.toMatchObject({ code: 'ERR_CACHE_CODEC' })
    expect(calls).toEqual([['end', passed]])
  })
})

describe('a load that takes too long', () => {
  const never: Load = () => new Promise(() => {})

  test('rejects after loadTimeout, and aborts its signal', async () => {
    let signal: AbortSignal | undefined
    const { flight, run, renewals } = setUp({
      options: { loadTimeout: '1s' },
      load: (context) => {
        signal = context.signal
        return never(context)
      },
    })
    const message = 'remember failed: the load did not end within 1000 ms (loadTimeout).'
    const error = {
      code: 'ERR_CACHE_TIMEOUT',
      message: expect.stringContaining(message),
      operation: 'remember',
      key: 'k',
    }
    const rejected = expect(run()).rejects.toMatchObject(error)
    await vi.advanceTimersByTimeAsync(999)
    expect(signal?.aborted).toBe(false)
    await vi.advanceTimersByTimeAsync(1)
    await rejected
    expect(signal?.reason).toMatchObject(error)
    expect([renewals, flight.abort]).toEqual([['begin', 'stop'], undefined])
  })

  test('has no timer without a timeout', async () => {
    const loaded = gate<string>()
    const { run } = setUp({ options: { loadTimeout: Infinity }, load: () => loaded.opened })
    const result = run()
    expect(vi.getTimerCount()).toBe(0)
    loaded.open('value')
    expect(await result).toMatchObject({ item: '"value"' })
  })
})

describe('close() during a load', () => {
  test('aborts its signal and ends its claim. It may still return its value', async () => {
    let signal: AbortSignal | undefined
    const loaded = gate<string>()
    const { job, run, calls, renewals } = setUp({
      load: (context) => {
        signal = context.signal
        return loaded.opened
      },
    })
    const result = run()
    await job.cache.activeLoads.close('closed')
    expect([signal?.reason, renewals, calls]).toEqual([
      'closed',
      ['begin', 'stop'],
      [['end', undefined]],
    ])
    loaded.open('value')
    expect(await result).toMatchObject({ item: '"value"' })
  })

  test('aborts the signal of one that begins later, for a call in flight', async () => {
    const { job, run } = setUp({
      load: ({ signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason))
        }),
    })
    await job.cache.activeLoads.close('closed')
    await expect(run()).rejects.toBe('closed')
  })

  test('ends one in the background', async () => {
    const { job, run, calls } = setUp({ load: () => new Promise(() => {}), isBackground: true })
    const rejected = expect(run()).rejects.toBe('closed')
    await job.cache.activeLoads.close('closed')
    await rejected
    expect(calls).toEqual([['end', passed]])
  })

  test('does nothing to one that has ended', async () => {
    let signal: AbortSignal | undefined
    const { job, run, calls } = setUp({
      load: (context) => {
        signal = context.signal
        return 'value'
      },
    })
    await run()
    await job.cache.activeLoads.close('closed')
    expect([signal?.aborted, calls.length]).toEqual([false, 1])
  })
})

describe('a load that fails', () => {
  test('rejects with the error of the loader, and other processes do not wait', async () => {
    const pause = vi.fn()
    const { run, calls } = setUp({ load: fail, cache: { audit: { pause } as never } })
    const errors = await eventsDuring('stowage:error', () => expect(run()).rejects.toBe(failure))
    expect([errors, calls]).toEqual([[], [['end', passed]]])
    expect(pause).toHaveBeenCalledOnce()
  })

  test('waits for the end of its claim', async () => {
    const ended = gate<boolean>()
    const { run } = setUp({ load: fail, claim: { end: () => ended.opened } })
    let isSettled = false
    const result = run().finally(() => {
      isSettled = true
    })
    result.catch(() => {})
    await settle()
    expect(isSettled).toBe(false)
    ended.open(true)
    await expect(result).rejects.toBe(failure)
  })

  test('returns the stale value instead, and publishes the error', async () => {
    const options = { staleIfError: 6 }
    const { run, calls } = setUp({ load: fail, found: stale, options })
    const errors = await eventsDuring('stowage:error', async () => {
      expect(await run()).toEqual({
        item: '"stale"',
        source: 'read',
        isStale: true,
        audience: 'beforeRead',
      })
    })
    expect(errors).toEqual([expect.objectContaining({ key: 'k', error: failure })])
    expect(calls).toEqual([['end', failed(1_000)]])
  })

  test.each<[string, LoadSetUp, unknown]>([
    ['with a backoff', { options: { backoff: 50 } }, failed(50)],
    ['without one', { options: { backoff: 0 } }, passed],
    [
      'beside a stale value',
      { options: { backoff: 0 }, claim: { replacesStale: true } },
      undefined,
    ],
    [
      'with a stale value within its window',
      { options: { staleWhileRevalidate: 6 } },
      failed(1_000),
    ],
    ['with a stale value after its window', { options: { staleWhileRevalidate: 5 } }, passed],
  ])('tells other processes what to do: %s', async (_, setUpOne, mark) => {
    const { run, calls } = setUp({ load: fail, found: stale, ...setUpOne })
    await expect(run()).rejects.toBe(failure)
    expect(calls).toEqual([['end', mark]])
  })

  test.each([
    [true, false, true],
    [true, true, false],
    [false, false, false],
  ])(
    'pauses in this process beside a stale value, without a lease: %s, %s',
    async (replacesStale, canBeLost, expected) => {
      const { job, run, clock } = setUp({
        load: fail,
        found: stale,
        options: { backoff: 50 },
        claim: { replacesStale, canBeLost },
      })
      await expect(run()).rejects.toBe(failure)
      await clock.advance(49)
      expect(isInLocalBackoff(job.cache, 'k')).toBe(expected)
      await clock.advance(1)
      expect(isInLocalBackoff(job.cache, 'k')).toBe(false)
    },
  )

  test('does not pause without a backoff', async () => {
    const claim = { replacesStale: true, canBeLost: false }
    const { job, run } = setUp({ load: fail, found: stale, options: { backoff: 0 }, claim })
    const add = vi.spyOn(job.cache.hitForMiss, 'add')
    await expect(run()).rejects.toBe(failure)
    expect(add).not.toHaveBeenCalled()
  })
})

test.each<[string, number | undefined, Found | undefined, boolean | undefined]>([
  ['within the window', 6, stale, true],
  ['after the window', 5, stale, undefined],
  ['without the option', undefined, stale, undefined],
  ['without the option, of a fresh one', undefined, { ...stale, staleMs: -5 }, undefined],
  ['that is fresh', 6, { ...stale, staleMs: -5 }, false],
  ['that has just become stale', 6, { ...stale, staleMs: 0 }, true],
  ['that does not exist', 6, miss, undefined],
  ['that was not read', 6, undefined, undefined],
])('a stale value may be returned after an error: one %s', (_, window, found, isStale) => {
  const job = loadJob({ options: { staleIfError: window } })
  const result = { item: '"stale"', source: 'read', isStale, audience: 'beforeRead' }
  expect(staleIfError(job, found)).toEqual(isStale === undefined ? undefined : result)
})

describe('a load for an audit', () => {
  test('calls the loader in the background, and stores nothing', async () => {
    const seen: unknown[] = []
    const job = loadJob({
      load: ({ background, stale: value }) => {
        seen.push(background, value)
        return 'value'
      },
    })
    expect(await loadUnstored(job)).toBe('value')
    expect(seen).toEqual([true, undefined])
    expect(await job.cache.entries.store.get('k')).toBeUndefined()
  })

  test('ends with the cache', async () => {
    const job = loadJob({ load: () => new Promise<string>(() => {}) })
    const rejected = expect(loadUnstored(job)).rejects.toBe('closed')
    await job.cache.activeLoads.close('closed')
    await rejected
  })
})

describe('the duration of a load', () => {
  test('is published, also if it fails', async () => {
    let now = 100
    vi.spyOn(performance, 'now').mockImplementation(() => now)
    for (const load of [() => 'value', fail] as Load[]) {
      const loaded = gate()
      const { run } = setUp({
        load: async (context) => {
          await loaded.opened
          now += 7
          return load(context)
        },
      })
      const events = await eventsDuring('stowage:load', async () => {
        const result = run()
        await settle()
        loaded.open()
        await result.catch(() => {})
      })
      expect(events).toEqual([expect.objectContaining({ key: 'k', durationMs: 7 })])
    }
  })

  test.each([
    [undefined, 1],
    [{} as LoadGroup, 0],
  ])('is traced, for several keys together', async (group, count) => {
    const events: unknown[] = []
    const onEnd = (event: unknown) => void events.push(event)
    const { run } = setUp({ isBackground: true, ...(group && { group }) })
    tracing.load.asyncEnd.subscribe(onEnd)
    await run()
    tracing.load.asyncEnd.unsubscribe(onEnd)
    const event = expect.objectContaining({ keys: ['k'], background: true })
    expect(events).toEqual(Array(count).fill(event))
  })
})
