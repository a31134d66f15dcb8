import { type BreakerEvent, CacheError, channels, failover } from '@stowage/core'
import type { ByteStore } from '@stowage/core/driver'
import { ManualClock, referenceStore } from '@stowage/testing'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { FailoverStore } from '../../src/failover/failover-store.ts'
import type { FailoverSettings } from '../../src/failover/recovery/recovery.ts'
import type { StoreRecovery } from '../../src/failover/store-recovery.ts'
import { timeOf, weakestLimits } from '../../src/failover/traits.ts'

const down = new CacheError('ERR_CACHE_UNAVAILABLE', 'down', { operation: 'x' })
const idKey = 'p:~generation'
const idOf = (number: number) => `${number.toString(36)}.aaaaaaaa`
const settings: FailoverSettings = {
  ...{ share: 0.5, calls: 4, windowMs: 5_000, probeMs: 60_000, journal: 100, settleMs: 60_000 },
}
type Limits = { keyBytes?: number; valueBytes?: number; ttlStep?: number; timeError?: number }

/** A store that a test stops, and its calls without those that belong to the outage itself. */
function side(name: string, more: object = {}, limits: Limits = {}) {
  const items = referenceStore({ clock: new ManualClock() })
  const calls: string[] = []
  const state = { isDown: false, error: undefined as unknown }
  const store = new Proxy(items, {
    get(target, key) {
      if (key === 'name') return name
      if (key === 'limits') return { keyBytes: 250, valueBytes: 100, ttlStep: 1, ...limits }
      if (Object.hasOwn(more, key)) return Reflect.get(more, key)
      const member = Reflect.get(target, key, target)
      if (typeof member !== 'function' || key === 'scan') return member
      return async (...args: unknown[]) => {
        const shown = args.map((arg) =>
          typeof arg === 'object' ? JSON.stringify(arg) : String(arg),
        )
        const call = [String(key), ...shown].join(' ').replaceAll(/~o[\w-]{8}:/g, '')
        if (!/~outage|~probe|~settling/.test(call)) calls.push(call)
        if (state.isDown && key !== 'close') throw state.error ?? down
        return member.apply(target, args)
      }
    },
  }) as unknown as ByteStore
  return { store, items, calls, state }
}

function setUp({
  primary = {},
  fallback = {},
  limits = {} as Limits,
  fallbackLimits = {} as Limits,
} = {}) {
  const [first, second] = [
    side('primary', primary, limits),
    side('fallback', fallback, fallbackLimits),
  ]
  const store = new FailoverStore(first.store, second.store, settings)
  onTestFinished(() => store.close())
  /** Until the primary store is not used any more. */
  const stop = async () => {
    first.state.isDown = true
    const opened = new Promise<void>((resolve) => {
      const listener = (event: unknown) => {
        if ((event as BreakerEvent).state !== 'open') return
        channels.breaker.unsubscribe(listener)
        resolve()
      }
      channels.breaker.subscribe(listener)
    })
    await store.get('x')
    await opened
    first.calls.length = 0
    second.calls.length = 0
  }
  return { store, primary: first, fallback: second, stop }
}

/** Some calls have failed, so that the fallback store is written as well. */
async function partial() {
  const all = setUp()
  for (let call = 0; call < 40; call++) await all.store.get('x')
  all.primary.state.isDown = true
  await all.store.get('x')
  all.primary.state.isDown = false
  all.primary.calls.length = 0
  all.fallback.calls.length = 0
  return all
}

const pagesOf = async (store: ByteStore, prefix = '') => {
  const keys: string[] = []
  for await (const page of store.scan?.(prefix) ?? []) keys.push(...page)
  return keys.filter((key) => key !== '~settling').sort()
}

describe('traits', () => {
  test('are the weakest limits of both stores', () => {
    const own = { keyBytes: 250, valueBytes: 100, ttlStep: 1 }
    expect(weakestLimits(own, { keyBytes: 250, valueBytes: 50, ttlStep: 1_000 })).toEqual({
      ...{ keyBytes: 239, valueBytes: 50, ttlStep: 1_000, timeError: 1_000 },
    })
    expect(weakestLimits({ ...own, timeError: 5 }, { ...own, timeError: 3 }).timeError).toBe(5)
    expect(weakestLimits(own, { ...own, keyBytes: 1_000 }).keyBytes).toBe(250)
  })

  test('read the clock of the primary store, and continue from there in an outage', async () => {
    const now = vi.spyOn(performance, 'now').mockReturnValue(100)
    try {
      let isInOutage = false
      const primary = { time: async () => 5_000 }
      const time = timeOf(primary as never, { time: async () => 9_000 } as never, () => isInOutage)
      isInOutage = true
      expect(await time()).toBe(9_000)
      isInOutage = false
      expect(await time()).toBe(5_000)
      now.mockReturnValue(350.5)
      isInOutage = true
      expect(await time()).toBe(5_250)
      isInOutage = false
      primary.time = () => Promise.reject(down)
      expect(await time()).toBe(5_250)
    } finally {
      now.mockRestore()
    }
  })

  test('use the clock of the process without one', async () => {
    const date = vi.spyOn(Date, 'now').mockReturnValue(7_000)
    try {
      for (const isInOutage of [true, false])
        expect(await timeOf({} as never, {} as never, () => isInOutage)()).toBe(7_000)
    } finally {
      date.mockRestore()
    }
  })

  test.each([
    [true, true, true],
    [true, undefined, false],
    [undefined, true, false],
  ])('are those of one process if both stores are: %s, %s', (own, other, expected) => {
    const { store } = setUp({ primary: { processLocal: own }, fallback: { processLocal: other } })
    expect([store.name, store.processLocal]).toEqual(['primary', expected])
  })

  test('are missing if a store does not have them', async () => {
    const without = {
      scan: undefined,
      time: undefined,
      consistencyToken: undefined,
      observe: undefined,
    }
    for (const options of [{ primary: without }, { fallback: { scan: undefined } }])
      expect(setUp(options).store.scan).toBeUndefined()
    const { store } = setUp({ primary: without })
    expect([store.time, store.consistencyToken, store.observe]).toEqual(Array(3).fill(undefined))
  })

  test('contain the token of the primary store, which it observes', async () => {
    const observed: string[] = []
    const primary = {
      consistencyToken: async () => 'token',
      observe: (token: string) => observed.push(token),
      time: async () => 5_000,
    }
    const { store, stop } = setUp({ primary })
    expect(await store.consistencyToken?.()).toBe('token')
    expect(await store.time?.()).toBe(5_000)
    store.observe?.('other')
    expect(observed).toEqual(['other'])
    await stop()
    expect(await store.consistencyToken?.()).toBe('')
    const later = (await store.time?.()) as number
    expect(later).toBeGreaterThanOrEqual(5_000)
    expect(setUp({ primary }).store.recovery.isPrimary).toBe(true)
  })
})

describe('calls', () => {
  test('use the primary store', async () => {
    const { store, primary, fallback } = setUp()
    await store.set('k', 'v', 60_000)
    await store.setMany([['l', 'v']], 60_000)
    expect(String(await store.get('k', { consistency: 'strong' }))).toBe('v')
    expect((await store.getMany(['k', 'x'])).map((item) => item && String(item))).toEqual([
      'v',
      undefined,
    ])
    expect([await store.add('k', 'w'), await store.add('m', 'w', 60_000)]).toEqual([false, true])
    expect(await store.compareAndSet('k', 'v', 'w', 60_000)).toBe(true)
    expect(await store.increment('n', 2, 60_000)).toBe(2)
    expect([await store.touch('k', 60_000), await store.delete('k')]).toEqual([true, true])
    expect(await store.deleteMany(['k', 'l'])).toBe(1)
    await store.ping()
    expect(await pagesOf(store)).toEqual(['m', 'n'])
    await store.clear()
    expect(await pagesOf(store)).toEqual([])
    expect(fallback.calls).toEqual([])
    expect(primary.calls.slice(0, 3)).toEqual([
      ...['set k v 60000', 'setMany [["l","v"]] 60000', 'get k {"consistency":"strong"}'],
    ])
  })

  test('list the keys of the primary store only', async () => {
    const fallback = { processLocal: true, scan: () => expect.unreachable() }
    expect(await pagesOf(setUp({ fallback }).store)).toEqual([])
  })

  test('use the fallback store in an outage', async () => {
    const { store, primary, fallback, stop } = setUp()
    await stop()
    expect(store.recovery.isPrimary).toBe(false)
    await store.set('k', 'v', 60_000)
    await store.setMany([['l', 'v']], 60_000)
    expect(String(await store.get('k', { consistency: 'strong' }))).toBe('v')
    expect((await store.getMany(['k', 'x'])).map((item) => item && String(item))).toEqual([
      'v',
      undefined,
    ])
    expect([await store.add('k', 'w'), await store.add('m', 'w', 60_000)]).toEqual([false, true])
    expect(await store.compareAndSet('k', 'v', 'w', 60_000)).toBe(true)
    expect(await store.compareAndSet('k', 'w', undefined)).toBe(true)
    expect(await store.increment('n', 2, 60_000)).toBe(2)
    expect([await store.touch('l', 60_000), await store.delete('l')]).toEqual([true, true])
    expect(await store.deleteMany(['m', 'x'])).toBe(1)
    await store.ping()
    expect(await pagesOf(store)).toEqual(['n'])
    await store.clear()
    expect(await pagesOf(store)).toEqual([])
    expect(primary.calls).toEqual([])
    expect(fallback.calls).toContain('get k {"consistency":"strong"}')
    expect(fallback.calls).toContain('ping')
  })

  test('are repeated on the fallback store', async () => {
    const { store, primary, fallback } = setUp()
    primary.state.isDown = true
    expect(await store.get('k', { consistency: 'strong' })).toBeUndefined()
    await store.ping()
    expect([primary.calls, fallback.calls]).toEqual([
      ['get k {"consistency":"strong"}', 'ping'],
      ['get k {"consistency":"strong"}', 'ping'],
    ])
  })

  test('that fail have a result at once, if the fallback store has', () => {
    const primary = {
      get: () => {
        throw down
      },
    }
    const { store } = setUp({ primary, fallback: { processLocal: true, get: () => 'item' } })
    expect(store.get('k')).toBe('item')
  })

  test('that fail begin an outage, also a ping', async () => {
    const { store, primary } = setUp()
    primary.state.isDown = true
    await store.ping()
    expect(store.recovery.isPrimary).toBe(false)
  })

  test.each([true, false])('wait until a clear has ended, in an outage: %s', async (isInOutage) => {
    const ended: string[] = []
    const ending = (name: string) => async () => {
      await new Promise(setImmediate)
      ended.push(name)
    }
    const { store, stop } = setUp({
      primary: { clear: ending('clear') },
      fallback: { processLocal: false, compareAndSet: ending('drop') },
    })
    if (isInOutage) await stop()
    await store.clear()
    expect(ended).toEqual([isInOutage ? 'drop' : 'clear'])
  })

  test('of both stores while the primary one settles', async () => {
    const { store, primary, fallback } = setUp()
    primary.state.isDown = true
    await store.get('x')
    primary.state.isDown = false
    await expect.poll(() => primary.calls).toContain('ping')
    await expect.poll(() => store.recovery.isPrimary).toBe(false)
    primary.calls.length = 0
    fallback.calls.length = 0
    await store.set('k', 'v')
    expect([primary.calls, fallback.calls]).toEqual([['set k v undefined'], ['set k v 86400000']])
    primary.items.set('other', 'v')
    expect(await pagesOf(store)).toEqual(['k', 'k', 'other'])
  })
})

describe('mirrored changes', () => {
  test('have the new item, or none', async () => {
    const { store, primary, fallback } = await partial()
    expect(await store.add('k', 'v', 60_000)).toBe(true)
    expect(await store.compareAndSet('k', 'v', 'w', 60_000)).toBe(true)
    expect(await store.compareAndSet('k', 'w', undefined)).toBe(true)
    expect(await store.increment('n', 2, 60_000)).toBe(2)
    expect(primary.calls).toEqual([
      ...[
        'add k v 60000',
        'compareAndSet k v w 60000',
        'compareAndSet k w undefined undefined',
        'increment n 2 60000',
      ],
    ])
    expect(fallback.calls).toEqual(['set k v 60000', 'set k w 60000', 'delete k', 'delete n'])
  })
})

describe('the id of a generation', () => {
  test('is not added to the fallback store after a mistake', async () => {
    const { store, primary, fallback } = await partial()
    const error = new TypeError('a mistake')
    Object.assign(primary.state, { isDown: true, error })
    await expect(store.add(idKey, idOf(5))).rejects.toBe(error)
    expect(fallback.calls).toEqual([])
  })

  test('is added to the fallback store, although it may have been added', async () => {
    const { store, primary, fallback } = setUp()
    primary.state.isDown = true
    expect(await store.add(idKey, idOf(5))).toBe(true)
    expect(fallback.calls).toEqual([`add ${idKey} ${idOf(5)} 86400000`])
    for (const [key, error] of [
      ['k', down],
      [idKey, new TypeError('a mistake')],
    ] as const) {
      const other = setUp()
      Object.assign(other.primary.state, { isDown: true, error })
      await expect(other.store.add(key, idOf(5))).rejects.toBe(error)
    }
  })
})

describe('the id of a generation, when an outage has ended,', () => {
  /** The id in the primary store, where it was 5, after a call that the fallback store has replied to. */
  async function idAfter(call: (store: ByteStore) => unknown, fallback: object): Promise<number> {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    onTestFinished(() => void vi.useRealTimers())
    const { store, primary } = setUp({ fallback: { processLocal: true, ...fallback } })
    primary.items.set(idKey, idOf(5))
    primary.state.isDown = true
    await store.get('x')
    await call(store)
    primary.state.isDown = false
    // The clock of the primary store stands still, so that the mark of this process does not expire.
    await vi.advanceTimersByTimeAsync(10 * settings.settleMs + 1_000)
    return Number.parseInt(String(primary.items.get(idKey)), 36)
  }
  const next = idOf(7)

  test.each<[string, (store: ByteStore) => unknown, object, boolean]>([
    ['is kept if it was read', (store) => store.get(idKey), { get: async () => idOf(5) }, true],
    [
      'is newer than one that was read',
      (store) => store.get(idKey),
      { get: async () => next },
      false,
    ],
    [
      'is newer than one that was added',
      (store) => store.add(idKey, next),
      { add: async () => true },
      false,
    ],
    [
      'is kept if another one could not be added',
      (store) => store.add(idKey, next),
      { add: async () => false },
      true,
    ],
    [
      'is newer than one that was swapped',
      (store) => store.compareAndSet(idKey, idOf(6), next),
      { compareAndSet: async () => true },
      false,
    ],
    [
      'is kept if another one could not be swapped',
      (store) => store.compareAndSet(idKey, idOf(6), next),
      { compareAndSet: async () => false },
      true,
    ],
  ])('%s', async (_, call, fallback, isKept) => {
    const id = await idAfter(call, { get: async () => undefined, ...fallback })
    if (isKept) expect(id).toBe(5)
    else expect(id).toBeGreaterThan(7)
  })
})

describe('values that only the primary store could keep', () => {
  const large = 'x'.repeat(51)
  const limited = () => setUp({ fallbackLimits: { valueBytes: 50, ttlStep: 1_000 } })

  test('are refused, and replace what a set would have replaced', async () => {
    const { store, primary } = limited()
    const error = { code: 'ERR_CACHE_LIMIT', store: 'primary', key: 'k' }
    await store.set('k', 'x'.repeat(50), 500)
    expect(primary.calls).toEqual([`set k ${'x'.repeat(50)} 1000`])
    await expect(store.add('k', large)).rejects.toMatchObject({ ...error, operation: 'add' })
    const swap = store.compareAndSet('k', 'v', large)
    await expect(swap).rejects.toMatchObject({ ...error, operation: 'compareAndSet' })
    expect(primary.calls).toHaveLength(1)
    await expect(store.set('k', large)).rejects.toMatchObject({ ...error, operation: 'set' })
    expect(primary.items.get('k')).toBeUndefined()
    const many = store.setMany([
      ['a', 'v'],
      ['b', large],
    ])
    await expect(many).rejects.toMatchObject({
      outcomes: [{ status: 'fulfilled' }, { reason: { code: 'ERR_CACHE_LIMIT', key: 'b' } }],
    })
    expect(String(primary.items.get('a'))).toBe('v')
  })

  test('are refused when the item that they replace is deleted', async () => {
    let isDeleted = false
    const primary = {
      delete: async () => {
        await new Promise(setImmediate)
        isDeleted = true
      },
    }
    const { store } = setUp({ primary, fallbackLimits: { valueBytes: 50 } })
    await expect(Promise.resolve(store.set('k', large))).rejects.toThrow()
    expect(isDeleted).toBe(true)
  })

  test('are those that are larger than what the fallback store keeps, and not the primary one', async () => {
    const { store, primary } = setUp()
    const tooLarge = 'x'.repeat(101)
    await store.set('k', tooLarge)
    expect(primary.calls).toEqual([`set k ${tooLarge} undefined`])
  })

  test('have ttls that both stores can keep', async () => {
    const { store, primary } = limited()
    await store.set('k', 'v')
    await store.setMany([['k', 'v']], 1_001)
    await store.add('l', 'v', 1_000)
    await store.compareAndSet('k', 'v', 'w', 1)
    await store.increment('n', 1, 1)
    await store.touch('k', 1)
    expect(primary.calls.map((call) => call.split(' ').at(-1))).toEqual([
      ...['undefined', '2000', '1000', '1000', '1000', '1000'],
    ])
    const exact = setUp()
    await exact.store.set('k', 'v', 1.5)
    expect(exact.primary.calls).toEqual(['set k v 1.5'])
  })
})

describe('close', () => {
  test('leaves the items of an outage to other processes', async () => {
    let drops = 0
    const compareAndSet = async () => ++drops > 0
    const { store, stop } = setUp({ fallback: { processLocal: false, compareAndSet } })
    await stop()
    await store.set('k', 'v')
    await store.close()
    await expect(store.clear()).rejects.toMatchObject({ code: 'ERR_CACHE_CLOSED' })
    expect(drops).toBe(0)
  })

  test('waits until the primary store has lost what has changed', async () => {
    const ended: string[] = []
    const primary = {
      delete: async () => {
        await new Promise(setImmediate)
        ended.push('delete')
      },
      close: async () => ended.push('close'),
    }
    const { store, primary: own } = setUp({ primary })
    own.state.isDown = true
    await store.set('k', 'v')
    await store.close()
    expect(ended).toEqual(['delete', 'close'])
  })

  test('closes both stores, one after the other, also if the first one fails', async () => {
    const closed: string[] = []
    const closing = (name: string, fails: boolean) => ({
      close: async () => {
        await new Promise(setImmediate)
        closed.push(name)
        if (fails) throw new Error(`${name} is not closed`)
      },
    })
    const store = new FailoverStore(
      side('primary', closing('primary', true)).store,
      side('fallback', closing('fallback', false)).store,
      settings,
    )
    await expect(store.close()).rejects.toThrow('primary is not closed')
    expect(closed).toEqual(['primary', 'fallback'])
    await expect(store.clear()).rejects.toMatchObject({ code: 'ERR_CACHE_CLOSED' })
    const other = new FailoverStore(
      side('primary', closing('primary', false)).store,
      side('fallback', closing('fallback', true)).store,
      settings,
    )
    await expect(other[Symbol.asyncDispose]()).rejects.toThrow('fallback is not closed')
  })
})

describe('a chain of stores', () => {
  test('uses the next one of each', async () => {
    const [a, b, c] = [side('a'), side('b'), side('c')]
    const store = failover([a.store, b.store, c.store])
    onTestFinished(() => store.close())
    a.state.isDown = b.state.isDown = true
    await store.set('k', 'v')
    expect(String(await store.get('k'))).toBe('v')
    expect((await pagesOf(c.store)).some((key) => key.endsWith('k'))).toBe(true)
    const alone = failover([a.store])
    expect(alone.primary).toBe(a.store)
    expect(() => failover([] as never)).toThrow('at least one store')
    const { store: entries } = side('entries', { payload: 'entry' })
    expect(() => failover([a.store, entries])).toThrow('entries stores entries by reference')
  })

  /** A store whose fallback store has a fallback store itself. */
  function nested() {
    const clears = new Map<string, () => Promise<void>>()
    const listeners: ((keys: readonly string[] | undefined) => void)[] = []
    const recovery: StoreRecovery = {
      isPrimary: true,
      onOverflow: (prefix, clear) => void clears.set(prefix, clear),
      onSettled: (listener) => void listeners.push(listener),
      noteClear: () => {},
    }
    return { ...setUp({ fallback: { recovery } }), clears, listeners }
  }

  test('settles all keys when those of its fallback store are settled', () => {
    const { store, listeners } = nested()
    const settled: unknown[] = []
    store.recovery.onSettled((keys) => settled.push(keys))
    for (const listener of listeners) listener(['k'])
    expect(settled).toEqual([undefined])
  })

  test('drops the items of an outage if the fallback store has lost keys of its journal', async () => {
    const { store, stop, clears } = nested()
    await stop()
    await store.set('k', 'v')
    await clears.get('')?.()
    expect(await store.get('k')).toBeUndefined()
  })

  test('drops them also if a prefix is cleared, whose keys cannot be listed', async () => {
    for (const { store, stop, isNested } of [
      { ...setUp(), isNested: false },
      { ...nested(), isNested: true },
    ]) {
      await stop()
      await store.set('k', 'v')
      store.recovery.noteClear('p:')
      expect((await store.get('k')) === undefined).toBe(isNested)
    }
  })

  test('is diagnosed as a whole', async () => {
    const report = (role: string) => ({
      diagnostics: {
        check: async () => ({ servers: [{ role }], findings: [`of ${role}`] }),
        locate: async (key: string) => `${role} of ${key}`,
      },
    })
    const { store } = setUp({ primary: report('primary'), fallback: report('replica') })
    const { servers, findings } = await store.diagnostics.check({} as never)
    expect(servers.map(({ role }) => role)).toEqual(['primary', 'fallback replica'])
    expect(findings).toEqual(['of primary', 'of replica'])
    expect(await store.diagnostics.locate?.('k')).toBe('primary of k')
    const nested = setUp({ fallback: { ...report('fallback replica'), processLocal: true } }).store
    const roles = (await nested.diagnostics.check({} as never)).servers.map(({ role }) => role)
    expect(roles.at(-1)).toBe('fallback replica')
    expect(nested.diagnostics.locate).toBeUndefined()
    const plain = setUp({ primary: { processLocal: false }, fallback: { processLocal: true } })
    const { servers: pinged } = await plain.store.diagnostics.check()
    expect(pinged.map(({ address }) => address)).toEqual(['primary', 'this process'])
  })
})
