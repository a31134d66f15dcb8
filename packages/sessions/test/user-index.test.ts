import { Cache } from '@stowage/core'
import { type Interceptor, wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { ManualClock } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { checkIndexSecret, firstKeyOf, type SeenIndex, UserIndex } from '../src/users/user-index.ts'

const minute = 60_000

/** The lists of users, as two processes see them. A test intercepts the calls of the first one. */
function setUp({
  maxPerUser = 10,
  absoluteMs = Number.POSITIVE_INFINITY,
  values = 'bytes' as 'bytes' | 'shared',
} = {}) {
  const clock = new ManualClock()
  const backend = memory({ clock, values })
  const calls: string[] = []
  const state: { intercept: Interceptor } = { intercept: (_, call) => call() }
  const store = wrapStore(backend, (operation, call, args) => {
    if (!operation.startsWith('get')) calls.push(operation)
    return state.intercept(operation, call, args)
  })
  const cacheOf = (used: typeof backend) => new Cache(used, { prefix: 's:', ttl: '1d', clock })
  const indexOf = (cache: Cache) =>
    new UserIndex({ cache, secret: 'a secret of the test', maxPerUser, absoluteMs })
  const cache = cacheOf(store as typeof backend)
  const [index, other] = [indexOf(cache), indexOf(cacheOf(backend))]
  const session = (key: string, created = 1, lifetimeMs = minute) => ({ key, created, lifetimeMs })
  return { index, other, cache, clock, calls, state, session }
}

describe('a list that was read', () => {
  const seen = (entries: SeenIndex['entries'], writtenAt: number): SeenIndex => ({
    ...{ entries, ended: undefined, writtenAt },
  })

  test.each<[string, number, boolean]>([
    ['is not due at once', 0, false],
    ['is not due after half of the longest lifetime', minute, false],
    ['is due after more than that', minute + 1, true],
    ['is due also if the other clock is fast', -minute - 1, true],
  ])('%s', (_, age, isDue) => {
    const { index, clock } = setUp()
    const list = seen({ k: [0, minute], longer: [0, 2 * minute] }, clock.now() - age)
    expect(index.isDue(list, 'k', minute)).toBe(isDue)
  })

  test('is due if a session exists longer than recorded', () => {
    const { index, clock } = setUp()
    const list = seen({ k: [0, minute], unlimited: [0, null] }, clock.now())
    expect(index.isDue(list, 'k', minute + 1)).toBe(true)
    for (const [key, lifetimeMs] of [
      ['k', minute],
      ['k', minute - 1],
      ['unlimited', Number.POSITIVE_INFINITY],
      ['missing', minute],
    ] as const)
      expect(index.isDue(list, key, lifetimeMs)).toBe(false)
  })
})

describe('the list of a user', () => {
  test.each(['bytes', 'shared'] as const)(
    'contains sessions with lifetimes and first keys, values: %s',
    async (values) => {
      const { index, session } = setUp({ values })
      expect(await index.add('ada', session('a', 1, 5.5))).toEqual([])
      expect(await index.add('ada', session('unlimited', 2, Number.POSITIVE_INFINITY))).toEqual([])
      expect(await index.addCopy('ada', 'a', 'b')).toBe(true)
      expect(await index.addCopy('ada', 'b', 'c')).toBe(true)
      expect(await index.addCopy('ada', 'missing', 'd')).toBe(false)
      const list = await index.read('ada')
      expect(list.entries).toEqual({
        a: [1, 6],
        b: [1, 6, 'a'],
        c: [1, 6, 'a'],
        unlimited: [2, null],
      })
      expect(['a', 'c', 'missing'].map((key) => firstKeyOf(list, key))).toEqual([
        ...['a', 'a', 'missing'],
      ])
    },
  )

  test('is extended when it is due, and keeps the first key', async () => {
    const { index, session, calls } = setUp()
    await index.add('ada', session('a'))
    await index.addCopy('ada', 'a', 'b')
    calls.length = 0
    await index.extend('ada', 'b', minute)
    await index.extend('ada', 'missing', 2 * minute)
    expect(calls).toEqual([])
    await index.extend('ada', 'b', 2 * minute)
    expect((await index.read('ada')).entries.b).toEqual([1, 2 * minute, 'a'])
  })

  test('exists for two lifetimes of its sessions', async () => {
    const { index, session, clock } = setUp()
    await index.add('ada', session('a'))
    await index.add('ada', session('longer', 1, 2 * minute))
    await clock.advance(4 * minute - 1)
    expect(Object.keys((await index.read('ada')).entries)).toEqual(['a', 'longer'])
    await clock.advance(1)
    expect((await index.read('ada')).entries).toEqual({})
    await index.add('ada', session('unlimited', 1, Number.POSITIVE_INFINITY))
    await clock.advance(10_000 * 86_400_000)
    expect(Object.keys((await index.read('ada')).entries)).toEqual(['unlimited'])
  })

  test('has the mark of an end of all sessions until none can be left', async () => {
    const { index, session, clock } = setUp({ absoluteMs: minute })
    const kept = {
      ...session('kept', clock.now(), Number.POSITIVE_INFINITY),
      firstKey: 'kept',
    }
    await index.add('ada', kept)
    expect(await index.removeAll('ada', kept)).toEqual([])
    // By twice of what the clocks of two processes may differ.
    await clock.advance(minute + 3_600_000 - 1)
    await index.addCopy('ada', 'kept', 'a')
    expect((await index.read('ada')).ended).toMatchObject({ kept: 'kept' })
    await clock.advance(1)
    await index.addCopy('ada', 'kept', 'b')
    expect((await index.read('ada')).ended).toBeUndefined()
  })

  test('keeps one session at the end of all others, unless that had ended before', async () => {
    const { index, clock } = setUp()
    const created = clock.now()
    const keptAfter = async (kept: Parameters<UserIndex['removeAll']>[1]) => {
      await index.removeAll('ada', kept)
      return (await index.read('ada')).ended?.kept
    }
    expect(await keptAfter({ key: 'k', created, firstKey: 'k' })).toBe('k')
    expect(await keptAfter({ key: 'k', created: undefined, firstKey: 'k' })).toBeNull()
    expect(await keptAfter({ key: 'k', created, firstKey: 'k' })).toBeNull()
  })

  test('needs a secret of at least 16 characters', () => {
    expect(checkIndexSecret('x'.repeat(16))).toHaveLength(16)
    for (const secret of ['x'.repeat(15), undefined])
      expect(() => checkIndexSecret(secret)).toThrow('at least 16 characters')
  })

  test.each([
    [Number.NaN, 'NaN'],
    ['', 'an empty string'],
    ['\ud800', 'a string with a lone surrogate'],
    [{}, 'a value of the type object'],
  ])('is not that of %j', (user, expected) => {
    expect(() => setUp().index.keyOf(user as string)).toThrow(`not ${expected}.`)
  })

  test('is read after all clears, to find out whether a session has ended', async () => {
    const { index, cache, clock } = setUp()
    const options: unknown[] = []
    const snapshot = cache.snapshot.bind(cache)
    cache.snapshot = (key, given) => {
      options.push(given)
      return snapshot(key, given)
    }
    expect(await index.hasEnded('ada', { key: 'k', created: clock.now() })).toBe(false)
    expect(options).toMatchObject([{ confirmGeneration: true }])
  })

  test('does not get a session that was ended with all others at the same time', async () => {
    const { index, other, state, clock, session } = setUp()
    const created = clock.now()
    state.intercept = async (operation, call) => {
      if (operation === 'add') await other.removeAll('ada', undefined)
      return call()
    }
    const before = { key: 'a', created }
    expect(await index.add('ada', session('a', created), before)).toBeUndefined()
    expect((await index.read('ada')).entries).toEqual({})
  })

  test('loses the sessions that do not exist, then the oldest, and not the one that is added', async () => {
    const { index, cache, session } = setUp({ maxPerUser: 2 })
    for (const key of ['a', 'b', 'new']) await cache.set(key, 1)
    await index.add('ada', session('gone', 9))
    await index.add('ada', session('a', 5))
    expect(await index.add('ada', session('b', 4))).toEqual(['gone'])
    expect(await index.add('ada', session('new', 1))).toEqual(['b'])
    expect(Object.keys((await index.read('ada')).entries)).toEqual(['a', 'new'])
  })

  test('loses the sessions that are not kept, and is deleted with the last one', async () => {
    const { index, session, calls } = setUp()
    for (const key of ['a', 'x']) await index.add('ada', session(key))
    await index.addCopy('ada', 'a', 'b')
    const seen: string[][] = []
    const removed = await index.remove('ada', (...keys) => seen.push(keys) > 0 && keys[0] !== 'x')
    expect([removed, seen.sort()]).toEqual([
      ['x'],
      [
        ['a', 'a'],
        ['b', 'a'],
        ['x', 'x'],
      ],
    ])
    calls.length = 0
    expect(await index.remove('ada', () => true)).toEqual([])
    expect(calls).toEqual([])
    expect(await index.remove('ada', () => false)).toEqual(['a', 'b'])
    expect(calls).toHaveLength(1)
    expect(await index.read('ada')).toMatchObject({ entries: {}, writtenAt: 0 })
  })

  test('is empty if what is stored is not a list, or a damaged one', async () => {
    const { index, cache, clock } = setUp()
    const key = index.keyOf('ada')
    const good = { writtenAt: 5, sessions: { k: [1, null, 'first'] } }
    const ended = { at: 1, until: clock.now() + 1, kept: null }
    const read = async (value: unknown) => {
      await cache.set(key, value as never)
      const { entries, ended: mark, writtenAt } = await index.read('ada')
      return [entries, mark, writtenAt]
    }
    const nothing = [{}, undefined, 0]
    for (const value of ['text', null, [], {}, { sessions: 'text' }, { sessions: [] }])
      expect(await read(value)).toEqual(nothing)
    for (const entry of ['text', {}, [], ['x', 1], [1, 'x'], [1], [1, 1, 1]])
      expect(await read({ ...good, sessions: { ...good.sessions, entry } })).toEqual([
        ...[{}, undefined, 5],
      ])
    expect(await read({ ...good, ended })).toEqual([good.sessions, ended, 5])
    expect(await read({ ...good, ended: { ...ended, kept: 'k' } })).toMatchObject([{}, {}, 5])
    for (const mark of [
      'text',
      { ...ended, at: 'x' },
      { ...ended, until: 'x' },
      { ...ended, kept: 1 },
    ])
      expect(await read({ ...good, ended: mark, writtenAt: 'x' })).toEqual([
        ...[good.sessions, undefined, 0],
      ])
  })
})
