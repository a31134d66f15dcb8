import { Cache, CacheError, type CacheOptions } from '@stowage/core'
import { type ByteStore, type StoreOperation, wrapStore } from '@stowage/core/driver'
import { ManualClock, referenceStore } from '@stowage/testing'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { gate, settle } from '../remember/two-processes.ts'
import { timersOf } from '../timers-of.ts'

const leaseMs = 5_000

/** A cache over a store whose calls a test records, and lets fail. */
function setUp({ clock, ...options }: CacheOptions & { clock?: ManualClock } = {}) {
  const backend = referenceStore({ clock })
  const operations: string[] = []
  const consistencies: unknown[] = []
  const failing = new Set<StoreOperation>()
  let timeReads = 0
  const wrapped = wrapStore<ByteStore>(backend, async (operation, call, args) => {
    operations.push(operation)
    if (operation === 'get')
      consistencies.push((args[1] as { consistency?: string } | undefined)?.consistency)
    if (!failing.has(operation)) return call()
    throw new CacheError('ERR_CACHE_UNAVAILABLE', `no reply to ${operation}`, {
      store: 'test',
      operation,
    })
  })
  const time = async () => {
    timeReads++
    return clock?.now() ?? Date.now()
  }
  const cache = new Cache(Object.assign(wrapped, { time }), { clock, ...options })
  const stored = async (key = 'c:1') => {
    const item = await backend.get(key)
    return item === undefined ? undefined : String(item)
  }
  const reads = () => timeReads
  return { cache, backend, operations, consistencies, failing, stored, timeReads: reads }
}

/** A source whose loads a test answers. */
function slowSource() {
  const loads: ReturnType<typeof gate<string>>[] = []
  const load = () => {
    const loaded = gate<string>()
    loads.push(loaded)
    return loaded.opened
  }
  return { loads, load }
}

const source = { load: () => 'loaded', save: () => {} }

/** A collection whose changes begin a load that a test answers. */
function changeWithLoad(remember: CacheOptions['remember'] = {}) {
  const { cache } = setUp({ remember })
  const { loads, load } = slowSource()
  const begun: Promise<unknown>[] = []
  const begin = async () => {
    begun.push(values.get('1') as Promise<unknown>)
    await settle()
  }
  const values = cache.collection<string, string>('c', { load, save: begin, remove: begin })
  return { values, cache, loads, begun }
}

/** The result of a call; `undefined` if it waits for something. */
function endedSoon<T>(call: Promise<T>): Promise<T | undefined> {
  return Promise.race([call, settle().then(settle).then(settle) as Promise<undefined>])
}

describe('a saved value', () => {
  test('without tags and windows is stored as its text, without asking for the time', async () => {
    const { cache, stored, timeReads } = setUp()
    await cache.collection('c', { ...source, ttl: '1m' }).set('1', 'v')
    await cache.collection('d', source).set('1', 'w')
    expect([await stored(), await stored('d:1')]).toEqual(['"v"', '"w"'])
    expect(timeReads()).toBe(0)
  })

  test('that never expires has no window', async () => {
    const { cache, stored } = setUp()
    const values = cache.collection('c', { ...source, ttl: null, staleIfError: '1m' })
    await values.set('1', 'v')
    expect(await stored()).toBe('"v"')
  })

  test('is fresh for its ttl, and stored for its stale windows after that', async () => {
    const clock = new ManualClock()
    const { cache, stored } = setUp({ clock })
    const windows = { staleWhileRevalidate: 500, staleIfError: 2_000 }
    await cache.collection('c', { ...source, ttl: 1_000, ...windows }).set('1', 'v')
    await clock.advance(999)
    expect(await cache.get('c:1')).toBe('v')
    await clock.advance(1)
    expect(await cache.get('c:1')).toBeUndefined()
    await clock.advance(1_999)
    expect(await stored()).toBeDefined()
    await clock.advance(1)
    expect(await stored()).toBeUndefined()
  })

  test('that expired in its source or does not exist is not stored', async () => {
    const { cache, operations, stored } = setUp()
    await cache.collection('c', { ...source, ttl: 0 }).set('1', 'v')
    expect([operations, await stored()]).toEqual([['set', 'delete'], undefined])
    const nothing = cache.collection<string, string>('c', source)
    await nothing.set('1', undefined as unknown as string)
    expect(await stored()).toBeUndefined()
  })

  test('is deleted if the save fails, with one request', async () => {
    const { cache, operations } = setUp()
    const save = async () => {
      throw new Error('disk full')
    }
    const values = cache.collection('c', { ...source, save })
    await expect(values.set('1', 'v')).rejects.toThrow('disk full')
    expect(operations).toEqual(['set', 'delete'])
  })

  test('is an error if it can neither be stored nor deleted', async () => {
    const { cache, failing, backend } = setUp()
    const save = () => {
      backend.delete('c:1')
      failing.add('delete')
    }
    await expect(cache.collection('c', { ...source, save }).set('1', 'v')).rejects.toThrow(
      'no reply to delete',
    )
  })

  test('is invalid after an invalidation of its tags, and was stored with them', async () => {
    const { cache } = setUp()
    await cache.collection('c', { ...source, tags: ['t'] }).set('1', 'v')
    expect(await cache.get('c:1')).toBe('v')
    await cache.invalidateTags('t')
    expect(await cache.get('c:1')).toBeUndefined()
  })
})

describe('close()', () => {
  /** A collection whose source a test lets answer, and what the store has when it is closed. */
  function closing() {
    const { cache, backend, stored } = setUp()
    const answered = gate()
    const left: unknown[] = []
    const close = backend.close.bind(backend)
    backend.close = async () => {
      left.push(await stored())
      await close()
    }
    const change = vi.fn(() => answered.opened)
    const values = cache.collection('c', { load: () => 'old', save: change, remove: change })
    return { cache, values, answered, left, change }
  }

  test('waits for a save, and the value is stored', async () => {
    const { cache, values, answered, left } = closing()
    const saving = values.set('1', 'new')
    await settle()
    const closed = cache.close()
    await settle()
    answered.open()
    expect(await saving).toBe('new')
    await closed
    expect(left).toEqual(['"new"'])
  })

  test('waits for a removal, also if it has not begun', async () => {
    for (const begins of [true, false]) {
      const { cache, values, answered, left, change } = closing()
      const removing = values.delete('1')
      if (begins) await settle()
      const closed = cache.close()
      await settle()
      answered.open()
      expect([await removing, change.mock.calls.length]).toEqual([false, 1])
      await closed
      expect(left).toEqual([undefined])
    }
  })

  test('waits also if nothing else keeps the process alive', async () => {
    const { cache, values, answered } = closing()
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const saving = values.set('1', 'new')
    await settle()
    const ends: Promise<unknown>[] = [saving]
    const timers = await timersOf('setTimeout', async () => void ends.push(cache.close()))
    expect(timers.map(({ timer, ms }) => [ms, timer.hasRef()])).toContainEqual([leaseMs, true])
    answered.open()
    await Promise.all(ends)
    expect(vi.getTimerCount()).toBe(0)
    vi.useRealTimers()
  })

  test('does not wait longer for a save than its lease stands by itself', async () => {
    const { cache, values, left } = closing()
    vi.useFakeTimers({ toFake: ['setTimeout', 'setInterval'] })
    void values.set('1', 'new')
    await settle()
    const closed = cache.close()
    await vi.advanceTimersByTimeAsync(leaseMs - 1)
    expect(left).toEqual([])
    await vi.advanceTimersByTimeAsync(1)
    vi.useRealTimers()
    await closed
    expect(left).toEqual([expect.anything()])
  })
})

describe('a load of this process', () => {
  test('that began before a save is not joined by later readers', async () => {
    const { cache } = setUp()
    const { loads, load } = slowSource()
    const saved = gate()
    const values = cache.collection('c', { load, save: () => saved.opened })
    const before = values.get('1')
    await settle()
    const saving = values.set('1', 'new')
    await settle()
    const during = values.get('1')
    saved.open()
    await saving
    expect(await endedSoon(during)).toBe('new')
    loads[0]?.open('old')
    expect(await before).toBe('old')
    expect(loads).toHaveLength(1)
  })

  test('that began in a save is not joined when the value is saved', async () => {
    const { values, cache, loads, begun } = changeWithLoad()
    await values.set('1', 'new')
    expect(await endedSoon(values.get('1'))).toBe('new')
    loads[0]?.open('old')
    expect(await begun[0]).toBe('old')
    expect(await cache.get('c:1')).toBe('new')
  })

  test.each([
    ['with a lease', {}],
    ['without one', { lease: false } as const],
  ])('that began in a removal is not stored: %s', async (_, remember) => {
    const { values, cache, loads, begun } = changeWithLoad(remember)
    await values.delete('1')
    loads[0]?.open('old')
    expect(await begun[0]).toBe('old')
    expect(await cache.get('c:1')).toBeUndefined()
  })

  test('may save a value whose save reads what is being loaded', async () => {
    const { cache } = setUp()
    const loadOuter = vi.fn(async () => (await values.set('1', 'v')) as string)
    const outer: () => Promise<string> = () => cache.remember('outer', {}, loadOuter)
    let depth = 0
    const save = async () => {
      // Ends the recursion: what reads itself loads for itself.
      if (depth++ === 0) await outer()
    }
    const values = cache.collection<string, string>('c', { ...source, save })
    expect(await endedSoon(outer())).toBe('v')
  })

  test('that has saved a value does not wait for what the save has left behind', async () => {
    const { cache } = setUp()
    const [saved, loaded] = [gate(), gate<string>()]
    const unshared = vi.fn(() => 'unshared')
    let left: Promise<unknown> | undefined
    const loadLeft = () => saved.opened.then(() => cache.remember('outer', {}, unshared))
    const save = () => {
      left = cache.remember('left', {}, loadLeft)
    }
    const values = cache.collection<string, string>('c', { ...source, save })
    const loadOuter = () => values.set('1', 'v').then(() => loaded.opened)
    const outer = cache.remember('outer', {}, loadOuter)
    await settle()
    saved.open()
    await settle()
    loaded.open('shared')
    expect([await outer, await left]).toEqual(['shared', 'shared'])
    expect(unshared).not.toHaveBeenCalled()
  })
})

describe('with timers that stand still', () => {
  beforeEach(() => {
    const toFake = ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] as const
    vi.useFakeTimers({ toFake: [...toFake, 'Date', 'performance'] })
  })
  afterEach(() => void vi.useRealTimers())

  test.each([
    ['succeeds', false],
    ['fails', true],
  ])('the lease of a save is renewed until it %s, and leaves no timer', async (_, isFailing) => {
    const { cache, operations } = setUp()
    const saved = gate()
    const values = cache.collection('c', { ...source, save: () => saved.opened })
    const saving = values.set('1', 'v')
    const outcome = Promise.allSettled([saving])
    await vi.advanceTimersByTimeAsync(leaseMs)
    expect(operations).toEqual(['set', 'compareAndSet', 'compareAndSet', 'compareAndSet'])
    if (isFailing) saved.fail(new Error('disk full'))
    else saved.open()
    await outcome
    expect(await cache.get('c:1')).toBe(isFailing ? undefined : 'v')
    expect(vi.getTimerCount()).toBe(0)
  })

  test('a save that takes longer than a load may stores nothing', async () => {
    const { cache, stored, operations } = setUp()
    const saved = gate()
    const values = cache.collection('c', { ...source, save: () => saved.opened })
    const saving = values.set('1', 'v')
    await vi.advanceTimersByTimeAsync(30_000)
    operations.length = 0
    await vi.advanceTimersByTimeAsync(10_000)
    expect(operations).toEqual([])
    saved.open()
    expect(await saving).toBe('v')
    expect(await stored()).toBeUndefined()
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('delete', () => {
  test('of a collection without remove returns whether the value was cached', async () => {
    const { cache, operations } = setUp()
    const values = cache.collection('c', { load: () => 'loaded' })
    await values.get('1')
    operations.length = 0
    expect([await values.delete('1'), await values.delete('1')]).toEqual([true, false])
    expect(operations).toEqual(['delete', 'delete'])
  })

  test('deletes before and after the value is removed from the source, and waits for it', async () => {
    const { cache, operations } = setUp()
    const removed = gate()
    const values = cache.collection('c', { ...source, remove: () => removed.opened })
    const deleting = values.delete('1')
    await settle()
    expect(operations).toEqual(['delete'])
    removed.open()
    expect(await deleting).toBe(false)
    expect(operations).toEqual(['delete', 'delete'])
  })
})

test('delete does not remove the value from its source if it cannot be deleted here', async () => {
  const { cache, failing } = setUp()
  const remove = vi.fn()
  failing.add('delete')
  const values = cache.collection('c', { ...source, remove })
  await expect(values.delete('1')).rejects.toThrow('no reply to delete')
  expect(remove).not.toHaveBeenCalled()
})

describe('an exact collection', () => {
  const exact = { ...source, exact: true, remove: () => {} }

  test('reads from the primary whether the deleted value was cached', async () => {
    const { cache, consistencies } = setUp()
    await cache.collection('c', exact).delete('1')
    expect(consistencies[0]).toBe('strong')
  })

  test('stores a value without tags as its text', async () => {
    const { cache, stored } = setUp()
    await cache.collection('c', { ...exact, ttl: '1m' }).set('1', 'v')
    expect(await stored()).toBe('"v"')
  })

  test('calls neither save nor remove if the key cannot be marked', async () => {
    const { cache, failing } = setUp()
    const called = vi.fn()
    const methods = { save: called, remove: called }
    const values = cache.collection('c', { ...exact, ...methods, tags: ['t'] })
    for (const operation of ['get', 'add', 'compareAndSet', 'set'] as const) failing.add(operation)
    await expect(values.set('1', 'v')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
    await expect(values.delete('1')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
    expect(called).not.toHaveBeenCalled()
  })

  test('waits for save and remove', async () => {
    const { cache } = setUp()
    const ended = gate()
    const wait = () => ended.opened
    const values = cache.collection<string, string>('c', { ...exact, save: wait, remove: wait })
    const calls = [values.set('1', 'v'), values.delete('2')]
    const first = await Promise.race([...calls, settle().then(() => 'both wait')])
    expect(first).toBe('both wait')
    ended.open()
    expect(await Promise.all(calls)).toEqual(['v', false])
  })
})
