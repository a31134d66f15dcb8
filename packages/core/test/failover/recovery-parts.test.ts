import { CacheError } from '@stowage/core'
import { BatchError, type ByteStore } from '@stowage/core/driver'
import { referenceStore } from '@stowage/testing'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Drain } from '../../src/failover/recovery/drain.ts'
import { FailureRate } from '../../src/failover/recovery/failure-rate.ts'
import { Journal } from '../../src/failover/recovery/journal.ts'
import { isOutage, isRefusal } from '../../src/failover/recovery/outage-error.ts'
import { probe } from '../../src/failover/recovery/probe.ts'
import {
  beginGeneration,
  raiseGeneration,
  restorePrimary,
} from '../../src/failover/recovery/restore-primary.ts'
import { UnsettledKeys } from '../../src/failover/recovery/unsettled-keys.ts'
import { idNameOf, isGenerationKey } from '../../src/generations/id-copies.ts'

const unreachable = new CacheError('ERR_CACHE_UNAVAILABLE', 'down', { operation: 'x' })
const idOf = (number: number) => `${number.toString(36)}.aaaaaaaa`
const numberOf = (item: unknown) => Number.parseInt(String(item), 36)

/** The time of `performance.now()`, which a test sets. */
let now = 0
beforeEach(() => {
  now = 0
  vi.spyOn(performance, 'now').mockImplementation(() => now)
})
afterEach(() => {
  vi.mocked(performance.now).mockRestore()
})

test('a generation has several keys with one name', () => {
  expect(['a:~generation', 'a:~generation12', 'a:~generation1x'].map(isGenerationKey)).toEqual([
    ...[true, true, false],
  ])
  expect(['a:~generation', 'a:~generation12', 'a'].map(idNameOf)).toEqual([
    ...['a:~generation', 'a:~generation', undefined],
  ])
})

test.each<[string, unknown, boolean, boolean]>([
  ['no reply', unreachable, true, false],
  ['a read-only server', rejected('READONLY You can not write'), true, true],
  ['a server without replicas', rejected('NOREPLICAS Not enough'), true, true],
  ['another refusal', rejected('WRONGTYPE Operation'), false, false],
  ['a refusal for good', rejected('READONLY You can not write', false), false, false],
  ['a limit', new CacheError('ERR_CACHE_LIMIT', 'x', cause('READONLY', true)), false, false],
  [
    'a refusal without a cause',
    new CacheError('ERR_CACHE_REJECTED', 'x', { retryable: true }),
    false,
    false,
  ],
  [
    'an error of another library',
    Object.assign(new Error('x'), { code: 'ERR_CACHE_REJECTED', ...cause('READONLY', true) }),
    ...[false, false],
  ],
] as const)('%s: an outage, and not executed', (_, error, isOutageError, isRefused) => {
  expect([isOutage(error), isRefusal(error)]).toEqual([isOutageError, isRefused])
})

function cause(message: string, retryable: boolean) {
  return { retryable, cause: new Error(message) }
}
function rejected(message: string, retryable = true): CacheError {
  return new CacheError('ERR_CACHE_REJECTED', 'x', cause(message, retryable))
}

describe('a journal', () => {
  test('has its keys, as many as it may', () => {
    const journal = new Journal(2)
    expect([journal.has('a'), journal.size, journal.overflow]).toEqual([false, 0, 0])
    for (const key of ['a', 'b', 'a']) journal.add(key)
    expect([journal.has('a'), journal.has('c'), journal.size, journal.overflow]).toEqual([
      ...[true, false, 2, 0],
    ])
    expect(journal.entries()).toEqual([
      ['a', 3],
      ['b', 2],
    ])
    journal.add('c')
    expect([journal.has('c'), journal.size, journal.overflow]).toEqual([false, 2, 4])
    journal.addUnknown()
    expect(journal.overflow).toBe(5)
  })
})

describe('the rate of failures', () => {
  const create = (options: object = {}) =>
    new FailureRate({ share: 0.5, calls: 4, windowMs: 2_000, ...options })
  const times = (count: number, work: () => void) => {
    for (let call = 0; call < count; call++) work()
  }

  test('is exceeded by a share of enough calls', () => {
    const rate = create()
    expect([rate.isExceeded(), rate.isRecentlyExceeded()]).toEqual([false, false])
    times(3, () => rate.fail())
    expect([rate.isExceeded(), rate.isRecentlyExceeded()]).toEqual([false, true])
    expect(rate.succeed('value')).toBe('value')
    expect(rate.isExceeded()).toBe(true)
    times(2, () => rate.succeed(1))
    expect(rate.isExceeded()).toBe(true)
    rate.succeed(1)
    expect([rate.isExceeded(), rate.isRecentlyExceeded()]).toEqual([false, false])
    rate.fail()
    expect(rate.isExceeded()).toBe(true)
    rate.reset()
    expect([rate.isExceeded(), rate.isRecentlyExceeded()]).toEqual([false, false])
    rate.fail()
    expect(rate.isRecentlyExceeded()).toBe(true)
  })

  test('forgets what is older than its window, or a tenth of it', () => {
    now = 10_000
    const rate = create()
    times(4, () => rate.fail())
    now = 10_199
    expect([rate.isExceeded(), rate.isRecentlyExceeded()]).toEqual([true, true])
    now = 10_200
    expect([rate.isExceeded(), rate.isRecentlyExceeded()]).toEqual([true, false])
    now = 11_999
    expect(rate.isExceeded()).toBe(true)
    now = 12_000
    expect(rate.isExceeded()).toBe(false)
    times(4, () => rate.fail())
    now = 100_000
    expect(rate.isExceeded()).toBe(false)
  })

  test('distributes the successes since the last failure evenly', () => {
    now = 10_000
    const rate = create({ calls: 1 })
    rate.fail()
    times(40, () => rate.succeed(1))
    now = 11_000
    times(5, () => rate.fail())
    // Ten buckets have begun, with four successes each: eight in the last two.
    expect(rate.isRecentlyExceeded()).toBe(false)
    times(3, () => rate.fail())
    expect([rate.isRecentlyExceeded(), rate.isExceeded()]).toEqual([true, false])
    now = 12_000
    // The first failure and no success has left the window.
    times(31, () => rate.fail())
    expect(rate.isExceeded()).toBe(false)
    rate.fail()
    expect(rate.isExceeded()).toBe(true)
  })

  test('starts again after a reset', () => {
    const rate = create({ calls: 1 })
    times(10, () => rate.succeed(1))
    now = 5_000
    rate.reset()
    rate.fail()
    expect(rate.isExceeded()).toBe(true)
    now = 10_000
    rate.reset()
    times(5, () => rate.succeed(1))
    rate.fail()
    expect(rate.isRecentlyExceeded()).toBe(false)
  })
})

describe('a probe', () => {
  const store = (ping: () => Promise<void>, failing = 0) => {
    const read: string[] = []
    const get = async (key: string) => {
      read.push(key)
      if (read.length <= failing) throw new Error('down')
    }
    return { store: { name: 'name', ping, get } as unknown as ByteStore, read }
  }

  test('finds nothing if a ping is answered', async () => {
    const { store: up, read } = store(async () => {})
    expect(await probe(up, 0.5, 1_000)).toBeUndefined()
    expect(read).toEqual([])
  })

  test.each([
    [4, undefined],
    [5, unreachable],
  ])('reads from the other nodes if the ping fails: %d fail', async (failing, expected) => {
    const { store: down, read } = store(() => Promise.reject(unreachable), failing)
    expect(await probe(down, 0.5, 1_000)).toBe(expected)
    expect(read).toEqual(Array.from({ length: 10 }, (_, index) => `~probe:${index}`))
  })

  test('finds nothing if the error is of another kind', async () => {
    const { store: odd, read } = store(() => Promise.reject(new Error('not supported')), 10)
    expect(await probe(odd, 0.5, 1_000)).toBeUndefined()
    expect(read).toEqual([])
    const throwing = store(() => {
      throw unreachable
    }, 10)
    expect(await probe(throwing.store, 0.5, 1_000)).toBe(unreachable)
  })

  test('does not read if the ping is late', async () => {
    const { store: silent, read } = store(() => new Promise(() => {}))
    const error = await probe(silent, 0.5, 5)
    expect(error).toMatchObject({ code: 'ERR_CACHE_TIMEOUT', store: 'name', operation: 'ping' })
    expect((error as Error).message).toBe('name ping failed: no reply within 5 ms.')
    expect(read).toEqual([])
  })
})

describe('unsettled keys', () => {
  test('are those that were changed, and those that were deleted after an uncertain change', () => {
    const keys = new UnsettledKeys(10)
    expect([keys.isEmpty, keys.has('a')]).toEqual([true, false])
    keys.add('a', true)
    keys.add('b', false)
    expect([keys.isEmpty, keys.has('a'), keys.has('b'), keys.has('c')]).toEqual([
      ...[false, true, true, false],
    ])
    keys.confirm(keys.journal.entries())
    expect([keys.isEmpty, keys.has('a'), keys.has('b'), keys.has('c')]).toEqual([
      ...[false, true, false, false],
    ])
    now = 99
    expect(keys.deletedBefore(100)).toEqual([])
    now = 100
    expect(keys.deletedBefore(100)).toEqual(['a'])
    keys.release(['a'])
    expect([keys.isEmpty, keys.has('a')]).toEqual([true, false])
    // It is certain again.
    keys.add('a', false)
    keys.confirm(keys.journal.entries())
    expect(keys.isEmpty).toBe(true)
  })

  test('stay if they have changed again since', () => {
    const keys = new UnsettledKeys(10)
    keys.add('a', true)
    const entries = keys.journal.entries()
    keys.add('a', false)
    keys.confirm(entries)
    expect([keys.has('a'), keys.deletedBefore(0)]).toEqual([true, []])
    keys.confirm(keys.journal.entries())
    expect(keys.deletedBefore(0)).toEqual(['a'])
  })

  test('are not empty with an overflow, whose keys are not known', () => {
    const keys = new UnsettledKeys(1)
    keys.add('a', false)
    keys.add('b', true)
    keys.confirm(keys.journal.entries())
    expect([keys.isEmpty, keys.has('b'), keys.deletedBefore(0)]).toEqual([false, false, []])
    keys.journal.confirmOverflow(keys.journal.overflow)
    expect(keys.isEmpty).toBe(true)
  })

  test('contain the ids of generations at any time', () => {
    const keys = new UnsettledKeys(10)
    const key = 'p:~generation'
    keys.add(key, false)
    keys.add('a', true)
    keys.confirm(keys.journal.entries())
    expect(keys.deletedBefore(1_000)).toEqual([key])
    keys.release([key])
    expect(keys.has(key)).toBe(false)
    keys.noteId(key, 'id')
    expect([keys.has(key), keys.deletedBefore(1_000)]).toEqual([true, [key]])
    const other = 'q:~generation'
    keys.add(other, false)
    keys.noteId(other, 'id')
    expect(keys.deletedBefore(0)).not.toContain(other)
  })

  test('know the ids that were used', () => {
    const keys = new UnsettledKeys(10)
    const isOnly = (id: string, last?: string) => keys.hasUsedOnly('k', id, last)
    expect([isOnly('a'), isOnly('a', 'a'), isOnly('a', 'b'), [...keys.usedIds('k')]]).toEqual([
      ...[false, true, false, []],
    ])
    keys.noteId('k', 'a')
    expect([
      isOnly('a'),
      isOnly('a', 'a'),
      isOnly('a', 'b'),
      isOnly('b'),
      isOnly('b', 'b'),
    ]).toEqual([true, true, false, false, false])
    keys.noteId('k', 'b')
    expect([isOnly('a'), isOnly('b', 'b'), [...keys.usedIds('k')]]).toEqual([
      ...[false, false, ['a', 'b']],
    ])
    keys.release(['k'])
    expect([...keys.usedIds('k')]).toEqual([])
  })
})

/** A primary and a fallback store. A test makes calls of the primary one fail, and does something before one. */
function stores() {
  const [primary, fallback] = [referenceStore(), referenceStore()]
  const calls: string[] = []
  const state: { fails?: (call: string) => boolean; before?: (call: string) => unknown } = {}
  const observed = new Proxy(primary, {
    get(target, name) {
      const member = Reflect.get(target, name, target)
      if (typeof member !== 'function' || name === 'scan') return member
      return async (...args: unknown[]) => {
        const { consistency } = (args.at(-1) ?? {}) as { consistency?: string }
        const call = `${String(name)} ${args[0]}`.trim()
        calls.push(consistency === undefined ? call : `${call} ${consistency}`)
        state.before?.(call)
        if (state.fails?.(call) === true) throw unreachable
        return member.apply(target, args)
      }
    },
  }) as unknown as ByteStore
  const ofFallback = {
    isShared: true,
    get: async (key: string) => fallback.get(key),
    deleteMany: async (keys: string[]) => {
      await new Promise(setImmediate)
      return fallback.deleteMany(keys)
    },
  } as never
  return { primary, fallback, ofFallback, observed, calls, state }
}

describe('the id of a generation', () => {
  const keys = ['p:~generation', 'p:~generation1']
  const [key, copy] = keys as [string, string]

  test('is kept if this process has used it, and no other', async () => {
    const { primary, observed, ofFallback, calls } = stores()
    const unsettled = new UnsettledKeys(10)
    for (const each of keys) {
      primary.set(each, idOf(5))
      unsettled.noteId(each, idOf(5))
    }
    const outcomes = await raiseGeneration(observed, ofFallback, unsettled, keys)
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled'])
    expect(calls).toEqual(keys.map((each) => `get ${each} strong`))
  })

  test('is newer than all that are known otherwise', async () => {
    const { primary, fallback, observed, ofFallback } = stores()
    const unsettled = new UnsettledKeys(10)
    primary.set(key, idOf(5))
    unsettled.noteId(key, idOf(5))
    unsettled.noteId(copy, idOf(7))
    await raiseGeneration(observed, ofFallback, unsettled, keys)
    expect(keys.map((each) => numberOf(primary.get(each)))).toEqual([8, 8])
    fallback.set(copy, idOf(20))
    await raiseGeneration(observed, ofFallback, unsettled, keys)
    expect(String(primary.get(key))).toBe(String(primary.get(copy)))
    expect(numberOf(primary.get(key))).toBe(21)
  })

  test('begins where there is none, and is not written to a copy that cannot be read', async () => {
    const { primary, observed, ofFallback, state, calls } = stores()
    state.fails = (call) => call === `get ${copy}`
    const outcomes = await raiseGeneration(observed, ofFallback, new UnsettledKeys(10), keys)
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    expect([numberOf(primary.get(key)), primary.get(copy)]).toEqual([1, undefined])
    expect(calls.filter((call) => call.startsWith('add'))).toEqual([`add ${key}`])
  })

  test('has an outcome for each copy, when it is stored', async () => {
    const { observed, ofFallback, state } = stores()
    state.fails = (call) => call === `add ${copy}`
    const outcomes = await raiseGeneration(observed, ofFallback, new UnsettledKeys(10), keys)
    expect(outcomes).toMatchObject([{ status: 'fulfilled' }, { reason: unreachable }])
  })

  test('is read again after a conflict, and newer ones stay', async () => {
    const { primary, observed, ofFallback, state, calls } = stores()
    const unsettled = new UnsettledKeys(10)
    unsettled.noteId(key, idOf(5))
    state.before = (call) => call === `add ${key}` && primary.set(key, idOf(3))
    await raiseGeneration(observed, ofFallback, unsettled, [key])
    expect(numberOf(primary.get(key))).toBe(6)
    expect(calls.slice(1)).toEqual([`add ${key}`, `get ${key} strong`, `compareAndSet ${key}`])
    await primary.delete(key)
    state.before = (call) => call === `add ${key}` && primary.set(key, idOf(9))
    await raiseGeneration(observed, ofFallback, unsettled, [key])
    expect(numberOf(primary.get(key))).toBe(9)
  })

  test('is given up after five conflicts', async () => {
    const { primary, observed, ofFallback, state, calls } = stores()
    let id = 1
    const unsettled = new UnsettledKeys(10)
    unsettled.noteId(key, idOf(100))
    primary.set(key, idOf(id))
    state.before = (call) => call.startsWith('compareAndSet') && primary.set(key, idOf(++id))
    const [outcome] = await raiseGeneration(observed, ofFallback, unsettled, [key])
    expect(outcome).toMatchObject({ reason: { code: 'ERR_CACHE_REJECTED' } })
    expect(calls.filter((call) => call.startsWith('compareAndSet'))).toHaveLength(5)
  })

  test.each<[string, number | undefined, number | undefined, number]>([
    ['is left alone if both stores have it', 5, 5, 5],
    ['is that of the fallback store if that is newer', 5, 7, 7],
    ['is the id of the fallback store if the primary store has none', undefined, 7, 7],
    ['is newer than that of the primary store otherwise', 9, 7, 10],
    ['is newer also without one in the fallback store', 9, undefined, 10],
    ['begins', undefined, undefined, 1],
  ])('%s', async (_, current, begun, expected) => {
    const { primary, fallback, observed, ofFallback, calls } = stores()
    if (current !== undefined) primary.set(key, idOf(current))
    if (begun !== undefined) fallback.set(key, idOf(begun))
    await beginGeneration(observed, ofFallback, key)
    expect(numberOf(primary.get(key))).toBe(expected)
    expect(calls[0]).toBe(`get ${key} strong`)
    expect(calls.length).toBe(current === begun && current !== undefined ? 1 : 2)
  })

  test('cannot begin if it cannot be stored', async () => {
    const { observed, ofFallback, state } = stores()
    state.fails = (call) => call.startsWith('add')
    await expect(beginGeneration(observed, ofFallback, key)).rejects.toBe(unreachable)
  })
})

describe('the primary store', () => {
  test('loses outdated items, and gets newer ids', async () => {
    const { primary, observed, ofFallback, calls } = stores()
    const keys = ['p:~generation', 'a', 'p:~generation1', 'b', 'q:~generation']
    primary.set('a', 'old')
    const outcomes = await restorePrimary(observed, ofFallback, new UnsettledKeys(10), keys)
    expect(outcomes.map(({ status }) => status)).toEqual(keys.map(() => 'fulfilled'))
    expect(calls.filter((call) => call.startsWith('delete'))).toEqual(['deleteMany a,b'])
    expect(primary.get('a')).toBeUndefined()
    const ids = ['p:~generation', 'p:~generation1', 'q:~generation'].map((key) =>
      String(primary.get(key)),
    )
    expect([ids[0] === ids[1], ids[1] === ids[2]]).toEqual([true, false])
  })

  test('is asked for a thousand keys at once, and for a single one in another way', async () => {
    const { observed, ofFallback, calls } = stores()
    const keys = Array.from({ length: 2_001 }, (_, index) => `k${index}`)
    await restorePrimary(observed, ofFallback, new UnsettledKeys(10), keys)
    const counts = calls.map((call) => [call.split(' ')[0], call.split(',').length])
    expect(counts).toEqual([
      ['deleteMany', 1_000],
      ['deleteMany', 1_000],
      ['delete', 1],
    ])
    calls.length = 0
    await restorePrimary(observed, ofFallback, new UnsettledKeys(10), keys.slice(0, 1_000))
    expect(calls).toHaveLength(1)
  })

  test('has an outcome for each key', async () => {
    const { observed, ofFallback, state } = stores()
    state.before = (call) => {
      if (!call.startsWith('deleteMany')) return
      throw new BatchError([
        { status: 'fulfilled', value: undefined },
        { status: 'rejected', reason: unreachable },
      ])
    }
    const restored = restorePrimary(observed, ofFallback, new UnsettledKeys(10), ['a', 'b'])
    expect((await restored).map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    state.fails = () => true
    const single = await restorePrimary(observed, ofFallback, new UnsettledKeys(10), ['a'])
    expect(single).toMatchObject([{ status: 'rejected', reason: unreachable }])
  })
})

describe('a drain', () => {
  function setUp({ maxKeys = 5_000, isShared = true } = {}) {
    const all = stores()
    Object.assign(all.ofFallback, { isShared })
    const drain = new Drain(all.observed, all.ofFallback, maxKeys)
    const progress: number[] = []
    const run = () =>
      drain.run(async () => {
        await new Promise(setImmediate)
        progress.push(all.calls.length)
      })
    return { ...all, drain, run, progress }
  }
  const states = ({ isDone, hasOutdated, isIncomplete }: Drain) => [
    isDone,
    hasOutdated,
    isIncomplete,
  ]

  test('deletes ten keys, and then a thousand at once', async () => {
    const { drain, run, calls, progress } = setUp()
    expect(states(drain)).toEqual([true, false, false])
    for (let key = 0; key < 1_500; key++) drain.unsettled.add(`k${key}`, false)
    expect(states(drain)).toEqual([false, true, false])
    await run()
    expect(calls.map((call) => call.split(',').length)).toEqual([10, 1_000, 490])
    expect(progress).toEqual([1, 2])
    expect(states(drain)).toEqual([true, false, false])
  })

  test('ends if none of the first keys can be deleted', async () => {
    const { drain, run, calls, state } = setUp()
    for (let key = 0; key < 30; key++) drain.unsettled.add(`k${key}`, false)
    state.fails = () => true
    await run()
    expect([calls.length, drain.unsettled.journal.size]).toEqual([1, 30])
    state.fails = () => false
    await run()
    expect(drain.isDone).toBe(true)
  })

  test('clears prefixes, but not their reserved keys, until that succeeds', async () => {
    const { drain, run, primary, state } = setUp()
    for (const key of ['p:a', 'p:~lock', 'q:a']) primary.set(key, 'v')
    for (const prefix of ['p:', 'q:']) drain.addPrefix(prefix)
    expect(states(drain)).toEqual([false, true, true])
    state.fails = (call) => call === 'deleteMany p:a'
    await run()
    expect(states(drain)).toEqual([false, true, true])
    expect(['p:a', 'p:~lock', 'q:a'].map((key) => primary.get(key) !== undefined)).toEqual([
      ...[true, true, false],
    ])
    state.fails = () => false
    await run()
    expect(states(drain)).toEqual([true, false, false])
    expect([primary.get('p:a'), primary.get('p:~lock') !== undefined]).toEqual([undefined, true])
    drain.addPrefix('')
    await run()
    expect(primary.get('p:~lock')).toBeUndefined()
  })

  test('has nothing to clear in a store that cannot list keys', async () => {
    const { drain, run, primary } = setUp()
    Object.assign(primary, { scan: undefined })
    drain.addPrefix('p:')
    await run()
    expect(drain.isDone).toBe(true)
  })

  test('clears the caches after an overflow', async () => {
    const { drain, run } = setUp({ maxKeys: 1 })
    const cleared: string[] = []
    let fails = true
    drain.onOverflow('p:', async () => {
      cleared.push('p:')
      if (fails) throw unreachable
    })
    drain.onOverflow('q:', async () => void cleared.push('q:'))
    await run()
    expect(cleared).toEqual([])
    for (const key of ['a', 'b']) drain.unsettled.add(key, false)
    expect(states(drain)).toEqual([false, true, true])
    await run()
    expect([cleared, states(drain)]).toEqual([['p:'], [false, true, true]])
    fails = false
    await run()
    expect([cleared.slice(1), states(drain)]).toEqual([
      ['p:', 'q:'],
      [true, false, false],
    ])
  })

  test.each([true, false])('releases keys that are deleted twice, shared: %s', async (isShared) => {
    const { drain, run, primary, fallback, state, calls } = setUp({ isShared })
    expect(await drain.release(0)).toEqual({ released: [], failed: [] })
    expect(calls).toEqual([])
    for (const key of ['a', 'b']) {
      drain.unsettled.add(key, true)
      fallback.set(key, 'v')
    }
    await run()
    primary.set('a', 'late')
    now = 99
    expect(await drain.release(100)).toEqual({ released: [], failed: [] })
    now = 100
    state.before = (call) => {
      if (!call.startsWith('deleteMany')) return
      primary.delete('a')
      const fulfilled = { status: 'fulfilled', value: undefined } as const
      throw new BatchError([fulfilled, { status: 'rejected', reason: unreachable }])
    }
    expect(await drain.release(100)).toEqual({ released: ['a'], failed: ['b'] })
    expect([drain.unsettled.has('a'), drain.unsettled.has('b')]).toEqual([false, true])
    expect(['a', 'b'].map((key) => fallback.get(key) !== undefined)).toEqual([isShared, isShared])
  })
})
