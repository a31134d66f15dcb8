import { json } from '@stowage/core'
import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { ManualClock, referenceStore } from '@stowage/testing'
import { describe, expect, test, vi } from 'vitest'
import type { Entry, EntryFacts } from '../../src/entry.ts'
import { EntryReader } from '../../src/freshness/entry-reader.ts'
import { TagHints } from '../../src/freshness/tag-hints.ts'
import { Keyspace } from '../../src/keys.ts'
import { MergedReader } from '../../src/remember/shared-steps.ts'
import { type AnyStore, strongRead } from '../../src/store.ts'
import { TagVersions } from '../../src/tags/tag-versions.ts'
import { BackendTime } from '../../src/time/backend-time.ts'
import { StoredEntries } from '../../src/values/stored-entries.ts'

interface Call {
  readonly keys: string | readonly string[]
  readonly isStrong: boolean
}

interface Setting {
  readonly isAsync?: boolean
  readonly near?: boolean
  /** Stores entries by reference. */
  readonly byReference?: boolean
  /** By how much the clock of the backend is ahead. */
  readonly aheadMs?: number
}

const v1 = '1-aaaaaaaa.1-aaaaaaaa'
const v2 = '2-bbbbbbbb.2-bbbbbbbb'

function setUp({ isAsync = false, near = false, byReference = false, aheadMs }: Setting = {}) {
  const clock = new ManualClock()
  const now = clock.now() + (aheadMs ?? 0)
  const calls: Call[] = []
  /** What reads return that are not strong, instead of the item. */
  const outdated = new Map<string, unknown>()
  const failing = new Set<string>()
  const references = new Map<string, Entry>()
  const backend = referenceStore({ clock })
  const itemOf = (key: string) =>
    byReference && references.has(key) ? references.get(key) : backend.get(key)
  const readOne = (key: string, isStrong: boolean) =>
    !isStrong && outdated.has(key) ? outdated.get(key) : itemOf(key)
  const merged = new Map<unknown, Promise<unknown>>()
  const store = wrapStore<ByteStore>(backend, (operation, call, args) => {
    if (operation !== 'get' && operation !== 'getMany') return call()
    const keys = args[0] as string | readonly string[]
    const isStrong = (args[1] as { consistency?: string } | undefined)?.consistency === 'strong'
    calls.push({ keys, isStrong })
    const read = () => {
      if (typeof keys === 'string') return readOne(keys, isStrong)
      if (keys.some((key) => failing.has(key))) throw new Error('down')
      return keys.map((key) => readOne(key, isStrong))
    }
    if (!isAsync) return read() as never
    const known = merged.get(args[0])
    const reading = known ?? Promise.resolve().then(read)
    merged.set(args[0], reading)
    const forget = () => void merged.delete(args[0])
    reading.then(forget, forget)
    return reading as never
  })
  const readClock = async () => {
    calls.push({ keys: 'clock', isStrong: true })
    return clock.now() + (aheadMs as number)
  }
  const time = new BackendTime(aheadMs === undefined ? undefined : readClock, clock)
  const payload = byReference ? 'entry' : 'bytes'
  const entries = new StoredEntries({ ...store, payload } as AnyStore, json(), 'cache', '')
  const tags = new TagVersions(entries.store, new Keyspace('tag:', 250), time)
  const hints = new TagHints()
  const root = { tags, time, near: near ? {} : undefined }
  const reader = new EntryReader(entries, root, hints)
  const put = async (key: string, value: unknown, facts?: EntryFacts) => {
    if (byReference) references.set(key, facts === undefined ? { value } : { value, facts })
    else await backend.set(key, entries.encode(key, value, facts) as string)
  }
  const setVersion = async (tag: string, version: string) => {
    if (byReference) references.set(`tag:${tag}`, { value: version })
    else await backend.set(`tag:${tag}`, version)
  }
  const encode = (key: string, value: unknown, facts: EntryFacts) =>
    entries.encode(key, value, facts)
  return { reader, entries, calls, clock, now, hints, outdated, failing, put, setVersion, encode }
}

/** The keys that were read, in the order of the calls. */
const keysOf = (calls: readonly Call[]) => calls.map(({ keys }) => keys)

describe.each([
  ['synchronous', false],
  ['asynchronous', true],
])('a read of a %s store', (_, isAsync) => {
  const isPromise = (result: unknown) => result instanceof Promise

  test('of an entry without facts reads the item only', async () => {
    const { reader, put, calls } = setUp({ isAsync })
    await put('k', 'value')
    const result = reader.read('k')
    expect(isPromise(result)).toBe(isAsync)
    expect(await result).toMatchObject({
      entry: { value: 'value' },
      isEntry: true,
      staleMs: -Infinity,
      mark: undefined,
    })
    expect(keysOf(calls)).toEqual(['k'])
  })

  test('of nothing is a miss, with the versions of the tags', async () => {
    const { reader, setVersion, calls } = setUp({ isAsync })
    await setVersion('t', v1)
    const found = await reader.read('k', ['t'])
    const versions = new Map([['t', v1]])
    const nothing = { item: undefined, entry: undefined, mark: undefined }
    expect(found).toEqual({ ...nothing, isEntry: false, staleMs: Infinity, versions })
    expect(keysOf(calls)).toEqual(['tag:t', 'k'])
  })

  test('of a mark is a miss', async () => {
    const { reader, entries } = setUp({ isAsync })
    await entries.store.set('k', '\x01\x02Ltoken.0.10')
    const mark = { kind: 'lease', token: 'token' }
    expect(await reader.read('k')).toMatchObject({ entry: undefined, isEntry: false, mark })
  })

  test('reads unknown tags after the entry, and the next time together with it', async () => {
    const { reader, put, setVersion, calls } = setUp({ isAsync })
    await put('k', 'value', { tags: { t: v1 } })
    await setVersion('t', v1)
    await reader.read('k')
    expect(keysOf(calls)).toEqual(['k', 'tag:t'])
    calls.length = 0
    const second = reader.read('k')
    expect(keysOf(calls)).toEqual(['tag:t', 'k'])
    expect(isPromise(second)).toBe(isAsync)
    expect(await second).toMatchObject({ entry: { value: 'value' }, staleMs: -Infinity })
    expect(keysOf(calls)).toEqual(['tag:t', 'k'])
    calls.length = 0
    await reader.read('other')
    expect(keysOf(calls)).toEqual(['other'])
  })

  test('reads given tags together with the entry, and those that it is known to have', async () => {
    const { reader, put, setVersion, calls, hints } = setUp({ isAsync })
    await put('k', 'value', { tags: { t: v1, u: v1 } })
    for (const tag of ['t', 'u', 'w']) await setVersion(tag, v1)
    hints.set('k', ['t', 'u'])
    const read = async (tags: readonly string[]) => {
      calls.length = 0
      const { entry, versions } = await reader.read('k', tags)
      expect(entry?.value).toBe('value')
      expect([...versions.keys()].sort()).toEqual([...new Set([...tags, 't', 'u'])].sort())
      return keysOf(calls)
    }
    expect(await read(['t'])).toEqual(['tag:t', 'tag:u', 'k'])
    expect(await read(['t', 'u', 'w'])).toEqual(['tag:t', 'tag:u', 'tag:w', 'k'])
    hints.set('k', ['t', 'u'])
    expect(await read(['w'])).toEqual(['tag:w', 'tag:t', 'tag:u', 'k'])
    hints.set('k', ['t', 'u'])
    expect(await read(['t', 'w'])).toEqual(['tag:t', 'tag:w', 'tag:u', 'k'])
  })

  test('reads the known tags if they are a function of the value', async () => {
    const { reader, put, setVersion, calls, hints } = setUp({ isAsync })
    await put('k', 'value', { tags: { t: v1 } })
    await setVersion('t', v1)
    hints.set('k', ['t'])
    expect((await reader.read('k', () => ['t'])).entry?.value).toBe('value')
    expect(keysOf(calls)).toEqual(['tag:t', 'k'])
  })

  test('of an entry that has lost a tag does not read it again', async () => {
    const { reader, put, setVersion, calls, hints } = setUp({ isAsync })
    await put('k', 'value', { tags: { t: v1 } })
    await setVersion('t', v1)
    hints.set('k', ['t', 'lost'])
    await reader.read('k')
    calls.length = 0
    await reader.read('k')
    expect(keysOf(calls)).toEqual(['tag:t', 'k'])
  })

  test('of an entry whose tags are known stores no hint', async () => {
    const { reader, put, setVersion, hints } = setUp({ isAsync })
    await put('k', 'value', { tags: { t: v1 } })
    await setVersion('t', v1)
    hints.set('k', ['t'])
    const set = vi.spyOn(hints, 'set')
    await reader.read('k')
    expect(set).not.toHaveBeenCalled()
  })

  test('of a stale entry reads nothing twice', async () => {
    const { reader, put, setVersion, calls, hints, now } = setUp({ isAsync })
    const facts = { freshUntil: now - 5, expiresAt: now + 9 }
    await put('plain', 'value', facts)
    const plain = reader.read('plain')
    expect(isPromise(plain)).toBe(isAsync)
    expect(await plain).toMatchObject({ entry: { value: 'value' }, staleMs: 5 })
    expect(hints.of('plain')).toBeUndefined()
    await put('tagged', 'value', { ...facts, tags: { t: v1 } })
    await setVersion('t', v1)
    hints.set('tagged', ['t'])
    calls.length = 0
    expect(await reader.read('tagged')).toMatchObject({ entry: { value: 'value' }, staleMs: 5 })
    expect(keysOf(calls)).toEqual(['tag:t', 'tagged'])
  })

  test('of an entry that appears to be invalid reads its versions from the primary', async () => {
    const { reader, put, setVersion, calls, hints, outdated } = setUp({ isAsync })
    await put('k', 'value', { tags: { t: v2 } })
    await setVersion('t', v2)
    outdated.set('tag:t', v1)
    hints.set('k', ['t'])
    expect(await reader.read('k')).toMatchObject({ entry: { value: 'value' }, isEntry: true })
    expect(calls.map(({ keys, isStrong }) => [keys, isStrong])).toEqual([
      ['tag:t', false],
      ['k', false],
      ['tag:t', true],
    ])
  })

  test('of an entry whose unknown tags appear to be invalid reads them from the primary as well', async () => {
    const { reader, put, setVersion, calls, outdated } = setUp({ isAsync })
    await put('k', 'value', { tags: { t: v2 } })
    await setVersion('t', v2)
    outdated.set('tag:t', v1)
    expect((await reader.read('k')).entry?.value).toBe('value')
    expect(calls).toEqual([
      { keys: 'k', isStrong: false },
      { keys: 'tag:t', isStrong: false },
      { keys: 'tag:t', isStrong: true },
    ])
  })

  test('of an entry that is invalid has its versions, for a load', async () => {
    const { reader, put, setVersion } = setUp({ isAsync })
    await put('k', 'value', { tags: { t: v1 } })
    await setVersion('t', v2)
    const versions = new Map([['t', v2]])
    const invalid = { entry: undefined, isEntry: true, staleMs: Infinity, versions }
    expect(await reader.read('k', ['t'])).toMatchObject(invalid)
  })

  test('waits for the clock of the backend', async () => {
    const { reader, put, now } = setUp({ isAsync, aheadMs: 3_600_000 })
    await put('k', 'value', { freshUntil: now - 5, expiresAt: now + 9 })
    expect((await reader.read('k')).staleMs).toBe(5)
  })

  test('of an entry without facts does not need the clock of the backend', async () => {
    const { reader, entries, calls } = setUp({ isAsync, aheadMs: 3_600_000 })
    const found = await reader.examine('k', entries.encode('k', 'value'))
    expect([found.entry?.value, calls]).toEqual(['value', []])
  })

  test('of several keys waits for the clock of the backend', async () => {
    const { reader, put, now } = setUp({ isAsync, aheadMs: 3_600_000 })
    await put('k', 'value', { freshUntil: now - 5, expiresAt: now + 9 })
    expect(await reader.readMany(['k'], [])).toMatchObject([{ value: { staleMs: 5 } }])
  })
})

test('calls with the same tags share their versions', async () => {
  const { reader, put, setVersion, hints } = setUp({ isAsync: true })
  await put('a', 'value', { tags: { t: v1 } })
  for (const tag of ['t', 'u']) await setVersion(tag, v1)
  hints.set('a', ['t'])
  hints.set('b', ['t'])
  const equal = await Promise.all([reader.read('a', ['t']), reader.read('b', ['t'])])
  expect(equal[0].versions).toBe(equal[1].versions)
  const given = ['t', 'u']
  const larger = await Promise.all([reader.read('b', given), reader.read('b', given)])
  expect(larger[0].versions).toBe(larger[1].versions)
})

test('a read that throws rejects', async () => {
  const { reader, entries } = setUp()
  entries.store.get = () => {
    throw new Error('closed')
  }
  await expect(reader.read('k')).rejects.toThrow('closed')
})

describe('an entry that is stored by reference', () => {
  test('has the versions of the tags of its read', async () => {
    const { reader, put, setVersion } = setUp({ byReference: true })
    await put('k', 'value')
    await setVersion('t', v1)
    const plain = await reader.read('k', ['t'])
    expect([plain.entry?.value, plain.versions]).toEqual(['value', new Map([['t', v1]])])
    expect(await reader.read('k')).toMatchObject({ isEntry: true, staleMs: -Infinity })
    expect(await reader.read('missing')).toMatchObject({ isEntry: false, staleMs: Infinity })
  })

  test('is stale if its facts say so', async () => {
    const { reader, put, now } = setUp({ byReference: true })
    await put('k', 'value', { freshUntil: now - 5 })
    expect(await reader.read('k')).toMatchObject({ entry: { value: 'value' }, staleMs: 5 })
  })
})

describe('a read of several keys', () => {
  test('reads given and known tags with one request, and the others after it', async () => {
    const { reader, put, setVersion, calls, hints } = setUp({ isAsync: true })
    await put('a', 'A', { tags: { t: v1 } })
    await put('b', 'B', { tags: { u: v1 } })
    await put('plain', 'P')
    for (const tag of ['t', 'u', 'w']) await setVersion(tag, v1)
    hints.set('a', ['t'])
    const outcomes = await reader.readMany(['a', 'b', 'plain', 'missing'], ['w'])
    expect(outcomes).toMatchObject([
      { value: { entry: { value: 'A' }, isEntry: true } },
      { value: { entry: { value: 'B' }, isEntry: true } },
      { value: { entry: { value: 'P' }, staleMs: -Infinity } },
      { value: { entry: undefined, isEntry: false } },
    ])
    const [first] = outcomes as PromiseFulfilledResult<{ versions: ReadonlyMap<string, string> }>[]
    expect([...(first?.value.versions.keys() ?? [])].sort()).toEqual(['t', 'u', 'w'])
    expect(keysOf(calls)).toEqual([['a', 'b', 'plain', 'missing'], 'tag:w', 'tag:t', 'tag:u'])
    expect(['a', 'b', 'plain'].map((key) => hints.of(key))).toEqual([['t'], ['u'], undefined])
  })

  test('reads no tags if there are none', async () => {
    const { reader, put, calls, now, hints } = setUp({ isAsync: true })
    await put('k', 'value', { freshUntil: now - 5, expiresAt: now + 9 })
    expect(await reader.readMany(['k'], [])).toMatchObject([{ value: { staleMs: 5 } }])
    expect([keysOf(calls), hints.isEmpty]).toEqual([[['k']], true])
  })

  test('reads the versions of entries that appear to be invalid from the primary', async () => {
    const { reader, put, setVersion, calls, outdated } = setUp({ isAsync: true })
    await put('k', 'value', { tags: { t: v2 } })
    await setVersion('t', v2)
    outdated.set('tag:t', v1)
    const outcomes = await reader.readMany(['k'], ['t'])
    expect(outcomes).toMatchObject([{ value: { entry: { value: 'value' } } }])
    expect(calls.map(({ isStrong }) => isStrong)).toEqual([false, false, true])
  })

  test('has an outcome for each key', async () => {
    const { reader, failing } = setUp({ isAsync: true })
    failing.add('k')
    const outcomes = await reader.readMany(['k', 'l'], [])
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  })

  test('of single calls is sent at the end of the turn', async () => {
    const { reader, put, setVersion, calls } = setUp({ isAsync: true })
    await put('a', 'A', { tags: { t: v1 } })
    await setVersion('t', v1)
    const merged = new MergedReader(reader, ['t'], strongRead)
    const [a, b] = await Promise.all([merged.read('a'), merged.read('b')])
    expect([a.entry?.value, b.entry]).toEqual(['A', undefined])
    expect(calls).toEqual([
      { keys: ['a', 'b'], isStrong: true },
      { keys: 'tag:t', isStrong: true },
    ])
  })
})

describe('behind a near cache', () => {
  const near = { isAsync: true, near: true }

  test('an entry that is not fresh is read from the store again, with its versions', async () => {
    const { reader, put, setVersion, calls, outdated, encode, now } = setUp(near)
    const facts = { freshUntil: now, expiresAt: now + 9, tags: { t: v1 } }
    await put('k', 'new', { tags: { t: v1 } })
    await setVersion('t', v1)
    outdated.set('k', encode('k', 'old', facts))
    expect((await reader.read('k', ['t'])).entry?.value).toBe('new')
    expect(calls.slice(-2)).toEqual([
      { keys: 'tag:t', isStrong: true },
      { keys: 'k', isStrong: true },
    ])
  })

  test('an entry that is invalid is read from the store again', async () => {
    const { reader, put, setVersion, outdated, encode } = setUp(near)
    await put('k', 'new', { tags: { t: v2 } })
    await setVersion('t', v2)
    outdated.set('k', encode('k', 'old', { tags: { t: v1 } }))
    expect((await reader.read('k', ['t'])).entry?.value).toBe('new')
  })

  test('an entry that is stale in the store as well is read twice, not more often', async () => {
    const { reader, put, setVersion, calls, now } = setUp(near)
    await put('k', 'old', { freshUntil: now - 5, expiresAt: now + 9, tags: { t: v1 } })
    await setVersion('t', v1)
    expect(await reader.read('k', ['t'])).toMatchObject({ staleMs: 5 })
    expect(keysOf(calls)).toEqual(['tag:t', 'k', 'tag:t', 'k'])
    calls.length = 0
    await reader.read('k', ['t'], strongRead)
    expect(keysOf(calls)).toEqual(['tag:t', 'k'])
  })

  test('a fresh entry, and a stale one without tags, is read once', async () => {
    const { reader, put, setVersion, calls, now } = setUp(near)
    await put('fresh', 'value', { tags: { t: v1 } })
    await put('stale', 'value', { freshUntil: now - 5, expiresAt: now + 9 })
    await setVersion('t', v1)
    await reader.read('fresh', ['t'])
    await reader.read('stale')
    expect(keysOf(calls)).toEqual(['tag:t', 'fresh', 'stale'])
    calls.length = 0
    await reader.readMany(['stale'], [])
    await reader.readMany(['fresh'], ['t'])
    expect(keysOf(calls)).toEqual([['stale'], ['fresh'], 'tag:t'])
  })

  test('of several keys, only those are read again that are not fresh', async () => {
    const { reader, put, setVersion, calls, outdated, encode, now } = setUp(near)
    const tags = { t: v1 }
    await put('fresh', 'value', { tags })
    await put('k', 'new', { tags })
    await put('stale', 'old', { freshUntil: now, expiresAt: now + 9, tags })
    await setVersion('t', v1)
    outdated.set('k', encode('k', 'old', { freshUntil: now - 5, expiresAt: now + 9, tags }))
    const keys = ['stale', 'fresh', 'k']
    expect(await reader.readMany(keys, ['t'])).toMatchObject([
      { value: { entry: { value: 'old' }, staleMs: 0 } },
      { value: { entry: { value: 'value' } } },
      { value: { entry: { value: 'new' } } },
    ])
    expect(calls.filter(({ keys: read }) => typeof read !== 'string')).toEqual([
      { keys, isStrong: false },
      { keys: ['stale', 'k'], isStrong: true },
    ])
  })

  test('a key whose read failed is not read again', async () => {
    const { reader, failing, setVersion, calls } = setUp(near)
    await setVersion('t', v1)
    failing.add('k')
    const outcomes = await reader.readMany(['k'], ['t'])
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected'])
    expect(keysOf(calls)).toEqual([['k'], 'tag:t'])
  })
})

describe('the fresh ones of items that were read', () => {
  const facts = (now: number) => ({
    stale: { freshUntil: now, expiresAt: now + 9 },
    fresh: { freshUntil: now + 1, expiresAt: now + 9 },
  })

  test('are known at once if none has facts', () => {
    const { reader, entries } = setUp()
    const items = [entries.encode('a', 'A'), undefined]
    expect(reader.freshEntries(['a', 'b'], items)).toEqual([{ value: 'A' }, undefined])
  })

  test.each([
    ['bytes', false],
    ['references', true],
  ])('leave out the others: %s', async (_, byReference) => {
    const { reader, entries, now, setVersion } = setUp({ byReference, isAsync: true })
    const { stale, fresh } = facts(now)
    await setVersion('t', v1)
    const all: readonly (EntryFacts | undefined)[] = [
      undefined,
      stale,
      fresh,
      { tags: { t: v1 } },
      { tags: { t: v2 } },
      { ...fresh, expiresAt: now },
    ]
    const keys = all.map((_, index) => `k${index}`)
    const items = all.map((each, index) => entries.encode(`k${index}`, index, each))
    const found = await reader.freshEntries(keys, items)
    expect(found.map((entry) => entry?.value)).toEqual([0, undefined, 2, 3, undefined, undefined])
  })

  test('wait for the clock of the backend', async () => {
    const { reader, entries, now } = setUp({ aheadMs: 3_600_000 })
    const { stale, fresh } = facts(now)
    const items = [entries.encode('a', 'A', stale), entries.encode('b', 'B', fresh)]
    const found = await reader.freshEntries(['a', 'b'], items)
    expect(found.map((entry) => entry?.value)).toEqual([undefined, 'B'])
  })
})

test('an entry is fresh before its time, and not at it', async () => {
  const { reader, put, now } = setUp()
  await put('k', 'value', { freshUntil: now, expiresAt: now + 9 })
  await put('l', 'value', { freshUntil: now + 1, expiresAt: now + 9 })
  const noted: unknown[] = []
  const call = { noteRead: (item: unknown) => noted.push(item) }
  const [k, l] = await Promise.all([reader.read('k'), reader.read('l')])
  expect(reader.serveFresh('k', k, call)).toBeUndefined()
  expect(reader.serveFresh('l', l, call)).toBe('value')
  expect(noted).toEqual([undefined, l.item])
  expect(reader.serveFresh('l', l, undefined)).toBe('value')
})
