import { CacheError } from '@stowage/core'
import { BatchError, type ByteStore } from '@stowage/core/driver'
import { describe, expect, test } from 'vitest'
import { Batches, repeatFailed } from '../../src/failover/batches.ts'
import { Changes } from '../../src/failover/changes.ts'
import type { Phase } from '../../src/failover/recovery/recovery.ts'

const down = new CacheError('ERR_CACHE_UNAVAILABLE', 'down', { operation: 'x' })
const refused = new CacheError('ERR_CACHE_REJECTED', 'refused', {
  ...{ retryable: true, cause: new Error('READONLY') },
})
const tooLarge = new CacheError('ERR_CACHE_LIMIT', 'large', { operation: 'x' })
const idKey = 'p:~generation'

/** The calls of both stores, and what they reported to the recovery. A test chooses the phase and the results. */
function setUp(
  phase: Phase,
  { isMirrored = phase !== 'primary', unsettled = [] as string[] } = {},
) {
  const events: string[] = []
  const written: string[] = []
  const isAway = !['primary', 'partial'].includes(phase)
  const state = {
    phase,
    primary: {} as Result,
    fallback: {} as Result,
    endings: 0,
    during: () => {},
  }
  const recovery = {
    get phase() {
      return state.phase
    },
    isAway,
    isMirrored,
    readsFallback: (key: string) => isAway || unsettled.includes(key),
    rate: {
      succeed: <T>(value: T): T => {
        events.push('succeed')
        return value
      },
    },
    noteFailure: (error: unknown) => {
      events.push('failure')
      if (error === tooLarge) throw error
    },
    noteFailedChange: (keys: readonly string[], error: unknown) => {
      events.push(`failed change ${keys}`)
      if (error === tooLarge) throw error
    },
    noteChange: (key: string) => events.push(`change ${key}`),
    noteWrite: (key: string) => written.push(key),
    settle: async (key: string) => void events.push(`settle ${key}`),
  }
  const fallback = {
    get endings() {
      return state.endings
    },
    delete: async (key: string) => void events.push(`fallback deletes ${key}`),
  }
  const changes = new Changes(recovery as never, fallback as never)
  const answer = (name: 'primary' | 'fallback') => () => {
    events.push(name)
    const { error, value = `of ${name}`, isSync = false } = state[name]
    if (isSync && error !== undefined) throw error
    if (isSync) return value as never
    return Promise.resolve().then(() => {
      if (name === 'primary') state.during()
      if (error !== undefined) throw error
      return value
    }) as never
  }
  const mirror = async () => void events.push('mirror')
  return {
    changes,
    recovery,
    state,
    events,
    written,
    onPrimary: answer('primary'),
    onFallback: answer('fallback'),
    mirror,
  }
}

interface Result {
  readonly value?: unknown
  readonly error?: unknown
  readonly isSync?: boolean
}

type Setting = Parameters<typeof setUp>

describe('a call that can be repeated', () => {
  test.each<[string, Setting, string, string[]]>([
    ['in the phase primary', ['primary'], 'of primary', ['primary', 'succeed']],
    ['in the phase fallback', ['fallback'], 'of fallback', ['change k', 'fallback']],
    ['in both stores', ['settling'], 'of fallback', ['primary', 'fallback', 'succeed']],
    ['in both stores, not away', ['partial'], 'of primary', ['primary', 'fallback', 'succeed']],
    [
      'in a store of its own',
      ['partial', { isMirrored: false }],
      'of primary',
      ['primary', 'succeed'],
    ],
    [
      'of an unsettled key',
      ['partial', { isMirrored: false, unsettled: ['k'] }],
      'of fallback',
      ['primary', 'fallback', 'succeed'],
    ],
  ])('is made %s', async (_, setting, result, expected) => {
    const { changes, events, onPrimary, onFallback } = setUp(...setting)
    expect(await changes.repeatable('k', onPrimary, onFallback)).toBe(result)
    expect(events).toEqual(expected)
  })

  test.each(['repeatable', 'once'] as const)(
    'is noted before it is made, unless it changes no value: %s',
    async (name) => {
      const { changes, written, onPrimary, onFallback, mirror } = setUp('settling')
      const call = () => {
        expect(written).toEqual(['k'])
        return onPrimary()
      }
      await changes.touch('k', onPrimary, onFallback)
      await changes[name]('k', call, onFallback, mirror)
      expect(written).toEqual(['k'])
    },
  )

  test('has a result at once, if the store has', () => {
    const { changes, state, events, onPrimary, onFallback } = setUp('primary')
    state.primary = { value: 1, isSync: true }
    expect(changes.repeatable('k', onPrimary, onFallback)).toBe(1)
    state.primary = { error: down, isSync: true }
    state.fallback = { value: 2, isSync: true }
    expect(changes.repeatable('k', onPrimary, onFallback)).toBe(2)
    expect(events).toEqual(['primary', 'succeed', 'primary', 'failed change k', 'fallback'])
  })

  test('is repeated on the fallback store, unless that does not help', async () => {
    const { changes, state, events, onPrimary, onFallback } = setUp('primary')
    state.primary = { error: down }
    expect(await changes.repeatable('k', onPrimary, onFallback)).toBe('of fallback')
    state.primary = { error: tooLarge }
    await expect(changes.repeatable('k', onPrimary, onFallback)).rejects.toBe(tooLarge)
    expect(events).toEqual([
      ...['primary', 'failed change k', 'fallback'],
      ...['primary', 'failed change k'],
    ])
  })

  test('has the result of the store that has made it, of both', async () => {
    const { changes, state, events, onPrimary, onFallback } = setUp('settling')
    state.fallback = { error: down }
    expect(await changes.repeatable('k', onPrimary, onFallback)).toBe('of primary')
    state.primary = { error: down }
    await expect(changes.repeatable('k', onPrimary, onFallback)).rejects.toBe(down)
    state.fallback = {}
    expect(await changes.repeatable('k', onPrimary, onFallback)).toBe('of fallback')
    expect(events.filter((event) => event === 'failed change k')).toHaveLength(2)
  })

  test('is repeated if its outage has ended meanwhile', async () => {
    const { changes, state, events, onPrimary, onFallback } = setUp('settling')
    state.primary = { error: down }
    state.during = () => {
      state.endings++
    }
    expect(await changes.repeatable('k', onPrimary, onFallback)).toBe('of fallback')
    expect(events).toEqual(['primary', 'fallback', 'failed change k', 'fallback'])
  })

  test('changes no value if it is a touch', async () => {
    const { changes, state, events, onPrimary, onFallback } = setUp('primary')
    state.primary = { error: down }
    expect(await changes.touch('k', onPrimary, onFallback)).toBe('of fallback')
    state.phase = 'fallback'
    expect(await changes.touch('k', onPrimary, onFallback)).toBe('of fallback')
    expect(events).toEqual(['primary', 'failure', 'fallback', 'fallback'])
  })
})

describe('a call that must not be repeated', () => {
  test('has a result at once, if the store has', () => {
    const { changes, state, onPrimary, onFallback, mirror } = setUp('primary')
    state.primary = { value: 1, isSync: true }
    expect(changes.once('k', onPrimary, onFallback, mirror)).toBe(1)
  })

  test.each<[string, Setting, string, string[]]>([
    ['in the phase primary', ['primary'], 'of primary', ['primary', 'succeed']],
    ['in the phase fallback', ['fallback'], 'of fallback', ['fallback', 'change k']],
    ['in both stores', ['partial'], 'of primary', ['primary', 'succeed', 'mirror']],
    [
      'in a store of its own',
      ['partial', { isMirrored: false }],
      'of primary',
      ['primary', 'succeed'],
    ],
    ['in the store that is read', ['settling'], 'of fallback', ['fallback', 'settle k']],
  ])('is made %s', async (_, setting, result, expected) => {
    const { changes, events, onPrimary, onFallback, mirror } = setUp(...setting)
    expect(await changes.once('k', onPrimary, onFallback, mirror)).toBe(result)
    expect(events).toEqual(expected)
  })

  test.each<[Phase, string[]]>([
    ['fallback', ['fallback']],
    ['partial', ['primary', 'succeed']],
    ['settling', ['fallback']],
  ])('has changed nothing if it was refused, in the phase %s', async (phase, expected) => {
    const { changes, state, events, onPrimary, onFallback, mirror } = setUp(phase)
    state.primary = state.fallback = { value: false }
    expect(await changes.once('k', onPrimary, onFallback, mirror)).toBe(false)
    expect(events).toEqual(expected)
  })

  test('is not known to have been executed if it fails', async () => {
    const { changes, state, events, onPrimary, onFallback, mirror } = setUp('primary')
    state.primary = { error: down }
    await expect(changes.once('k', onPrimary, onFallback, mirror)).rejects.toBe(down)
    expect(events).toEqual(['primary', 'failed change k', 'fallback deletes k'])
  })

  test('is made in the fallback store if the primary one has refused it', async () => {
    const { changes, state, events, onPrimary, onFallback, mirror } = setUp('primary')
    state.primary = { error: refused }
    for (const key of ['k', idKey])
      expect(await changes.once(key, onPrimary, onFallback, mirror)).toBe('of fallback')
    expect(events).toEqual([
      ...['primary', 'failed change k', 'fallback'],
      ...['primary', `failed change ${idKey}`, 'fallback'],
    ])
  })

  test('of an id is harmless late', async () => {
    const { changes, state, events, onPrimary, onFallback, mirror } = setUp('primary')
    state.primary = { error: down }
    await expect(changes.once(idKey, onPrimary, onFallback, mirror)).rejects.toBe(down)
    expect(events).toEqual(['primary', 'failure'])
  })

  test('waits for what follows from it, whose failures are harmless', async () => {
    const { changes, onPrimary, onFallback } = setUp('partial')
    let ended = 0
    const mirror = async () => {
      await new Promise(setImmediate)
      ended++
      throw down
    }
    expect(await changes.once('k', onPrimary, onFallback, mirror)).toBe('of primary')
    expect(ended).toBe(1)
    const settling = setUp('settling')
    settling.recovery.settle = async () => {
      await new Promise(setImmediate)
      ended++
    }
    await settling.changes.once('k', settling.onPrimary, settling.onFallback, mirror)
    expect(ended).toBe(2)
  })

  test('waits until the fallback store has lost what may be outdated', async () => {
    let ended = 0
    const recovery = { ...setUp('primary').recovery }
    const fallback = {
      delete: async () => {
        await new Promise(setImmediate)
        ended++
        throw down
      },
    }
    const changes = new Changes(recovery as never, fallback as never)
    const failing = () => Promise.reject(down)
    await expect(
      changes.once(
        'k',
        failing,
        async () => 1,
        async () => 1,
      ),
    ).rejects.toBe(down)
    expect(ended).toBe(1)
  })
})

describe('a call of several keys', () => {
  const outcomes = (...reasons: unknown[]) =>
    new BatchError(
      reasons.map((reason) =>
        reason === undefined
          ? { status: 'fulfilled', value: true }
          : { status: 'rejected', reason },
      ),
    )

  test('is repeated for the entries that failed because of an outage', async () => {
    const repeated: unknown[] = []
    const repeat = async (some: readonly string[], failure: unknown) => {
      repeated.push([some, failure])
      return some.map((each) => `repeated ${each}`)
    }
    const error = outcomes(undefined, down, undefined, refused)
    expect(await repeatFailed(error, ['a', 'b', 'c', 'd'], repeat)).toEqual([
      ...[true, 'repeated b', true, 'repeated d'],
    ])
    expect(await repeatFailed(down, ['a'], repeat)).toEqual(['repeated a'])
    expect(repeated).toEqual([
      [['b', 'd'], down],
      [['a'], down],
    ])
    await expect(repeatFailed(outcomes(undefined, tooLarge), ['a', 'b'], repeat)).rejects.toThrow()
    await expect(repeatFailed(tooLarge, ['a'], repeat)).rejects.toBe(tooLarge)
    expect(repeated).toHaveLength(2)
  })

  test('has the outcome of each entry if it fails again', async () => {
    const error = outcomes(undefined, down, tooLarge, down)
    const repeat = () => {
      throw outcomes(undefined, refused)
    }
    const failure = await repeatFailed(error, ['a', 'b', 'c', 'd'], repeat).catch(
      (reason) => reason,
    )
    expect(failure.outcomes).toEqual([
      { status: 'fulfilled', value: true },
      { status: 'fulfilled', value: true },
      { status: 'rejected', reason: tooLarge },
      { status: 'rejected', reason: refused },
    ])
  })

  /** The calls of two stores. `errors` are those of the primary one. */
  function batches(
    phase: Phase,
    { unsettled = [] as string[], error = undefined as unknown } = {},
  ) {
    const { recovery, events, changes } = setUp(phase, { unsettled })
    const calls: string[] = []
    const store = (name: string, failure?: unknown) => {
      const call = (operation: string) => async (arg: unknown, ttlOrOptions?: unknown) => {
        const keys = (arg as unknown[]).map((each) => (Array.isArray(each) ? each[0] : each))
        calls.push(`${name} ${operation} ${keys} ${JSON.stringify(ttlOrOptions) ?? ''}`.trim())
        if (failure !== undefined) throw failure
        if (operation === 'getMany') return keys.map((key) => `${key} of ${name}`)
        return operation === 'deleteMany' ? keys.length : undefined
      }
      return { getMany: call('getMany'), setMany: call('setMany'), deleteMany: call('deleteMany') }
    }
    const single = {
      set: async (key: string, _: unknown, ttl?: number) => {
        calls.push(`set ${key} ${ttl}`)
        if (key === 'bad') throw down
      },
      delete: async (key: string) => {
        calls.push(`delete ${key}`)
        if (key === 'bad') throw down
        return key !== 'x'
      },
    }
    const both = [store('primary', error), store('fallback')] as const
    const made = new Batches(
      ...(both as unknown as [ByteStore, never]),
      ...([recovery as never, changes, single as never] as const),
    )
    return { batches: made, calls, events, stores: both }
  }
  const strong = { consistency: 'strong' } as const
  const entries = [
    ['a', '1'],
    ['b', '2'],
  ] as const

  test.each<[Phase, string[], unknown[], string[]]>([
    ['primary', [], ['a of primary', 'b of primary'], ['primary getMany a,b']],
    ['partial', [], ['a of primary', 'b of primary'], ['primary getMany a,b']],
    [
      'partial',
      ['b'],
      ['a of primary', 'b of fallback'],
      ['primary getMany a', 'fallback getMany b'],
    ],
    ['partial', ['a', 'b'], ['a of fallback', 'b of fallback'], ['fallback getMany a,b']],
    ['settling', [], ['a of fallback', 'b of fallback'], ['fallback getMany a,b']],
  ])(
    'reads from the store of each key, phase %s, unsettled %j',
    async (phase, unsettled, items, calls) => {
      const made = batches(phase, { unsettled })
      expect(await made.batches.getMany(['a', 'b'], strong)).toEqual(items)
      expect(made.calls).toEqual(calls.map((call) => `${call} ${JSON.stringify(strong)}`))
    },
  )

  test('keeps the order of the keys it reads from both', async () => {
    const made = batches('partial', { unsettled: ['b', 'd'] })
    expect(await made.batches.getMany(['a', 'b', 'c', 'd'])).toEqual([
      ...['a of primary', 'b of fallback', 'c of primary', 'd of fallback'],
    ])
  })

  test('each key that is read from both has its own outcome', async () => {
    const rejected = { status: 'rejected', reason: tooLarge } as const
    const error = new BatchError([{ status: 'fulfilled', value: 'c' }, rejected])
    const made = batches('partial', { unsettled: ['a', 'b'], error })
    await expect(made.batches.getMany(['a', 'c', 'b', 'd'])).rejects.toMatchObject({
      outcomes: [
        { status: 'fulfilled', value: 'a of fallback' },
        { status: 'fulfilled', value: 'c' },
        { status: 'fulfilled', value: 'b of fallback' },
        rejected,
      ],
    })
  })

  test('reads again from the fallback store', async () => {
    const made = batches('primary', { error: outcomes(undefined, down) })
    expect(await made.batches.getMany(['a', 'b'], strong)).toEqual([true, 'b of fallback'])
    expect([made.events, made.calls.at(-1)]).toEqual([
      ['failure'],
      `fallback getMany b ${JSON.stringify(strong)}`,
    ])
  })

  test.each<[Phase, string[], string[]]>([
    ['primary', ['primary setMany a,b 5'], ['succeed']],
    ['fallback', ['fallback setMany a,b 5'], ['change a', 'change b']],
    ['partial', ['set a 5', 'set b 5'], []],
    ['settling', ['set a 5', 'set b 5'], []],
  ])('stores entries, phase %s', async (phase, calls, events) => {
    const made = batches(phase)
    await made.batches.setMany(entries, 5)
    expect([made.calls, made.events]).toEqual([calls, events])
  })

  test('has a result at once, if the store has', () => {
    const { batches: made, stores } = batches('primary')
    Object.assign(stores[0], { getMany: () => ['item'] })
    expect(made.getMany(['a'])).toEqual(['item'])
  })

  test.each<[string, (made: Batches) => unknown]>([
    ['setMany', (made) => made.setMany(entries)],
    ['deleteMany', (made) => made.deleteMany(['a', 'b'])],
  ])('%s leaves failed keys to the fallback store, and waits for it', async (operation, change) => {
    const { batches: made, stores, events } = batches('primary', { error: down })
    const repeat = async () => {
      expect(events).toEqual(['failed change a,b'])
      await new Promise(setImmediate)
      throw tooLarge
    }
    Object.assign(stores[1], { [operation]: repeat })
    await expect(Promise.resolve(change(made))).rejects.toThrow(tooLarge.message)
  })

  test('stores entries in the fallback store after a failure', async () => {
    const made = batches('primary', { error: outcomes(undefined, down) })
    expect(await made.batches.setMany(entries, 5)).toBeUndefined()
    expect(made.calls).toEqual(['primary setMany a,b 5', 'fallback setMany b 5'])
    expect(made.events).toEqual(['failed change b'])
  })

  test('has an outcome for each key if they are stored one by one', async () => {
    const made = batches('settling')
    const failure = await Promise.resolve(made.batches.setMany([...entries, ['bad', '3']])).catch(
      (reason) => reason,
    )
    expect(failure.outcomes).toMatchObject([
      { status: 'fulfilled' },
      { status: 'fulfilled' },
      { reason: { operation: 'setMany', key: 'bad', code: 'ERR_CACHE_UNAVAILABLE' } },
    ])
    await expect(made.batches.deleteMany(['a', 'bad'])).rejects.toMatchObject({
      outcomes: [{ status: 'fulfilled' }, { reason: { operation: 'deleteMany', key: 'bad' } }],
    })
  })

  test.each<[Phase, number, string[], string[]]>([
    ['primary', 3, ['primary deleteMany a,x,a'], ['succeed']],
    ['fallback', 3, ['fallback deleteMany a,x,a'], ['change a', 'change x', 'change a']],
    ['partial', 1, ['delete a', 'delete x'], []],
  ])('deletes keys, phase %s', async (phase, count, calls, events) => {
    const made = batches(phase)
    expect(await made.batches.deleteMany(['a', 'x', 'a'])).toBe(count)
    expect([made.calls, made.events]).toEqual([calls, events])
  })

  test('deletes keys from the fallback store after a failure', async () => {
    const made = batches('primary', { error: outcomes(undefined, down, down) })
    expect(await made.batches.deleteMany(['a', 'b', 'c'])).toBe(3)
    expect(made.calls.at(-1)).toBe('fallback deleteMany b,c')
    expect(made.events).toEqual(['failed change b,c'])
  })
})
