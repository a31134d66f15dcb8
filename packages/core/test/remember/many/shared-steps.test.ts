import { ManualClock, referenceStore } from '@stowage/testing'
import { describe, expect, test, vi } from 'vitest'
import {
  LoadBatch,
  MergedReader,
  mergeReads,
  SharedPolls,
} from '../../../src/remember/shared-steps.ts'
import type { AnyStore } from '../../../src/store.ts'
import { loadJob } from '../load-job.ts'
import { gate, settle } from '../two-processes.ts'

const strong = { consistency: 'strong' }

describe('the loads of several keys', () => {
  function setUp() {
    const runs: (readonly string[])[] = []
    return { batch: new LoadBatch<string>((members) => runs.push([...members])), runs }
  }

  test('are run together at the end of the turn', async () => {
    const { batch, runs } = setUp()
    batch.add('a', 'of a')
    batch.add('b', 'of b')
    expect(runs).toEqual([])
    await settle()
    expect(runs).toEqual([['of a', 'of b']])
  })

  test('wait for a key that may be loaded as well, until it is added or released', async () => {
    const { batch, runs } = setUp()
    batch.hold('a')
    batch.hold('b')
    batch.hold('c')
    batch.add('a', 'of a')
    await settle()
    batch.add('b', 'of b')
    await settle()
    expect(runs).toEqual([])
    batch.release('c')
    await settle()
    expect(runs).toEqual([['of a', 'of b']])
  })

  test('wait again if a key is held before the end of the turn', async () => {
    const { batch, runs } = setUp()
    batch.add('a', 'of a')
    batch.hold('b')
    await settle()
    expect(runs).toEqual([])
    batch.release('b')
    await settle()
    expect(runs).toEqual([['of a']])
  })

  test('are not run without members, nor twice', async () => {
    const { batch, runs } = setUp()
    batch.hold('a')
    batch.release('a')
    batch.release('unknown')
    await settle()
    expect(runs).toEqual([])
    batch.add('a', 'of a')
    await settle()
    batch.hold('b')
    batch.release('b')
    await settle()
    expect(runs).toEqual([['of a']])
    batch.add('b', 'of b')
    await settle()
    expect(runs).toEqual([['of a'], ['of b']])
  })
})

describe('the reads of several keys', () => {
  const readMany = () =>
    vi.fn(async (keys: readonly string[], ..._: unknown[]) =>
      keys.map((key) => ({ status: 'fulfilled' as const, value: { item: key } })),
    )

  test('of one turn are one, with the same tags and options', async () => {
    const read = readMany()
    const reader = new MergedReader({ readMany: read } as never, ['t'], strong as never)
    expect(await Promise.all(['a', 'b', 'a'].map((key) => reader.read(key)))).toEqual([
      { item: 'a' },
      { item: 'b' },
      { item: 'a' },
    ])
    expect(read.mock.calls).toEqual([[['a', 'b'], ['t'], strong]])
  })

  test('of the cache of a group are strong. All else is that of the cache', async () => {
    const { cache } = loadJob()
    const read = readMany()
    const merged = mergeReads({ ...cache, reader: { readMany: read } as never }, ['t'])
    await merged.reader.read('k')
    expect(read.mock.calls).toEqual([[['k'], ['t'], strong]])
    const { reader, root, ...others } = merged
    expect(others).toEqual((({ reader: _reader, root: _root, ...rest }) => rest)(cache))
    const { store, time, clockUncertainty } = root
    const own = cache.root
    expect([store === own.store, time === own.time, clockUncertainty]).toEqual([true, true, 50])
  })
})

describe('the tags of several keys', () => {
  function setUp() {
    const tags = {
      read: vi.fn(
        async (names: readonly string[], ..._: unknown[]) =>
          new Map(names.map((name) => [name, name === 'new' ? undefined : `${name}.0`])),
      ),
      create: vi.fn(
        async (versions: ReadonlyMap<string, unknown>) =>
          new Map([...versions].map(([name]) => [name, `${name}.created`])),
      ),
    }
    const { cache } = loadJob({ root: { tags } })
    return { tags, merged: mergeReads({ ...cache, reader: {} as never }, []).root.tags }
  }

  test('are read once per turn and tag, strongly', async () => {
    const { tags, merged } = setUp()
    const reads = await Promise.all([merged.read(['a', 'b']), merged.read(['b', 'c'])])
    expect(reads.map((versions) => [...versions])).toEqual([
      [
        ['a', 'a.0'],
        ['b', 'b.0'],
      ],
      [
        ['b', 'b.0'],
        ['c', 'c.0'],
      ],
    ])
    expect(tags.read.mock.calls).toEqual([[['a', 'b', 'c'], strong]])
  })

  test('are created once per turn and tag, if they are missing', async () => {
    const { tags, merged } = setUp()
    const known = new Map([
      ['a', 'a.0'],
      ['new', undefined],
    ])
    const created = await Promise.all([
      merged.create(known),
      merged.create(new Map([['new', undefined]])),
    ])
    expect(created.map((versions) => [...versions])).toEqual([
      [
        ['a', 'a.0'],
        ['new', 'new.created'],
      ],
      [['new', 'new.created']],
    ])
    expect(tags.create.mock.calls).toEqual([[new Map([['new', undefined]])]])
  })
})

describe('the waits for the leases of several keys', () => {
  test('end together, and begin anew after that', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const polls = new SharedPolls()
      const ended: string[] = []
      void polls.wait(10).then(() => ended.push('first'))
      await vi.advanceTimersByTimeAsync(9)
      void polls.wait(10).then(() => ended.push('second'))
      await vi.advanceTimersByTimeAsync(1)
      expect(ended).toEqual(['first', 'second'])
      void polls.wait(10).then(() => ended.push('third'))
      await vi.advanceTimersByTimeAsync(9)
      expect(ended).toHaveLength(2)
      await vi.advanceTimersByTimeAsync(1)
      expect(ended).toHaveLength(3)
    } finally {
      vi.useRealTimers()
    }
  })

  test('note when the last read has ended', async () => {
    const polls = new SharedPolls()
    expect(polls.lastReadAt()).toBe(0)
    const read = gate<unknown[]>()
    const store = { getMany: () => read.opened } as unknown as AnyStore
    const now = vi.spyOn(performance, 'now').mockReturnValue(100)
    try {
      const item = polls.read(store, 'a')
      await settle()
      now.mockReturnValue(123)
      read.open(['of a'])
      expect([await item, polls.lastReadAt()]).toEqual(['of a', 123])
    } finally {
      now.mockRestore()
    }
  })

  test('read the keys of a turn by one read per store', async () => {
    const polls = new SharedPolls()
    const stores = [0, 1].map(() => {
      const store = referenceStore({ clock: new ManualClock() }) as unknown as AnyStore
      void store.set('a', 'of a', undefined)
      return { store, getMany: vi.spyOn(store, 'getMany') }
    })
    const [one, two] = stores.map(({ store }) => store) as [AnyStore, AnyStore]
    const items = [polls.read(one, 'a'), polls.read(one, 'b'), polls.read(two, 'a')]
    expect((await Promise.all(items)).map(String)).toEqual(['of a', 'undefined', 'of a'])
  })

  test('read a key of a turn once', async () => {
    const polls = new SharedPolls()
    const store = referenceStore() as unknown as AnyStore
    const getMany = vi.spyOn(store, 'getMany')
    await Promise.all([polls.read(store, 'a'), polls.read(store, 'b'), polls.read(store, 'a')])
    await polls.read(store, 'c')
    expect(getMany.mock.calls).toEqual([
      [['a', 'b'], strong],
      [['c'], strong],
    ])
  })
})
