import { Cache, withBatching } from '@stowage/core'
import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { ManualClock, referenceStore } from '@stowage/testing'
import { afterEach, expect, test, vi } from 'vitest'
import { Keyspace } from '../../src/keys.ts'
import type { AnyStore } from '../../src/store.ts'
import { changingVersion, isSameHard } from '../../src/tags/tag-version.ts'
import { isChanging, TagVersions, type Versions } from '../../src/tags/tag-versions.ts'
import { BackendTime } from '../../src/time/backend-time.ts'
import { Mark } from '../../src/values/mark.ts'
import { promisesOf } from '../promises-of.ts'
import { gate, settle } from '../remember/two-processes.ts'

const tagKey = '~tag:news'
const dayMs = 86_400_000

afterEach(() => {
  vi.useRealTimers()
})

/** A cache whose default reads are those of a replica, which has not received anything yet. */
function setUp({ time }: { time?: (clock: ManualClock) => Promise<number> } = {}) {
  const clock = new ManualClock()
  const backend = referenceStore({ clock })
  const calls: { readonly operation: string; readonly key: unknown }[] = []
  let isBehind = false
  const store = wrapStore<ByteStore>(backend, (operation, call, args) => {
    if (args[0] === tagKey) calls.push({ operation, key: args[0] })
    const isStrong = (args[1] as { consistency?: string } | undefined)?.consistency === 'strong'
    if (operation === 'get' && args[0] === tagKey && isBehind && !isStrong)
      return undefined as never
    return call()
  })
  if (time !== undefined) store.time = () => time(clock)
  const cache = new Cache(store, { clock })
  const operations = () => calls.splice(0).map(({ operation }) => operation)
  const lag = () => {
    isBehind = true
  }
  const version = async () => String(await backend.get(tagKey))
  return { clock, backend, cache, operations, lag, version }
}

/** The versions in a store of which only reads exist. */
function versionsOver(get: (key: string) => unknown, readClock?: () => Promise<number>) {
  const store = { payload: 'bytes', get } as unknown as AnyStore
  const time = new BackendTime(readClock, new ManualClock())
  return new TagVersions(store, new Keyspace('tag:', 250), time)
}

/** The times of both parts of a version: since when entries with the tag are invalid, and stale. */
function timesOf(version: string): number[] {
  return version.split('.').map((id) => Number.parseInt(id, 36))
}

test('an invalidation takes a read and a swap, although replicas lag behind', async () => {
  const { cache, operations, lag } = setUp()
  await cache.set('k', 'v', { tags: ['news'] })
  lag()
  for (const stale of [false, true]) {
    operations()
    await cache.invalidateTags('news', { stale })
    expect(operations()).toEqual(['get', 'compareAndSet'])
  }
})

test('a write records the versions of the primary, although replicas lag behind', async () => {
  const { cache, operations, lag, version } = setUp()
  await cache.invalidateTags('news')
  const before = await version()
  lag()
  operations()
  await cache.set('k', 'v', { tags: ['news'] })
  expect(operations()).toEqual(['get', 'touch'])
  expect(await version()).toBe(before)
})

test('an invalidation counts as late as the clock of the backend may show', async () => {
  const { clock, cache, version } = setUp({
    time: async (clock) => {
      const now = clock.now()
      await clock.advance(40)
      return now
    },
  })
  const startedAt = clock.now()
  await cache.invalidateTags('news')
  expect(timesOf(await version())).toEqual([startedAt + 40, startedAt + 40])
})

test('the time of a version never goes back', async () => {
  let now = 1_900_000_000_000
  const { cache, version } = setUp({ time: async () => now })
  await cache.invalidateTags('news')
  now -= 5_000
  await cache.invalidateTags('news')
  expect(timesOf(await version())).toEqual([now + 5_000, now + 5_000])
  await cache.invalidateTags('news', { stale: true })
  expect(timesOf(await version())).toEqual([now + 5_000, now + 5_000])
})

test('entries that are stale were stale since their tag was made so, and are not again by that time', async () => {
  const { clock, cache, version } = setUp()
  await cache.set('k', 'v', { tags: ['news'] })
  expect(timesOf(await version())).toEqual([0, 0])
  await clock.advance(1_000)
  await cache.invalidateTags('news', { stale: true })
  expect(timesOf(await version())).toEqual([0, clock.now()])
})

test('entries are invalid after an invalidation, unless it makes them stale only', async () => {
  const { cache, version } = setUp()
  await cache.set('k', 'v', { tags: ['news'] })
  const first = await version()
  await cache.invalidateTags('news')
  const second = await version()
  await cache.invalidateTags('news', { stale: true })
  expect([isSameHard(first, second), isSameHard(second, await version())]).toEqual([false, true])
})

test('a tag without a version is made invalid where it should be made stale', async () => {
  const { clock, cache, version } = setUp()
  await cache.invalidateTags('news', { stale: true })
  expect(timesOf(await version())).toEqual([clock.now(), clock.now()])
})

test('a foreign value of a tag makes its entries misses, until the tag is invalidated', async () => {
  const { backend, cache, operations, version } = setUp()
  await backend.set(tagKey, 'foreign')
  await cache.set('k', 'v', { tags: ['news'] })
  expect(await cache.get('k')).toBeUndefined()
  expect(await version()).toBe('foreign')
  expect(operations().filter((operation) => operation === 'add')).toHaveLength(10)
  await cache.invalidateTags('news')
  expect(operations()).toEqual(['get', 'compareAndSet'])
  await cache.set('k', 'v', { tags: ['news'] })
  expect(await cache.get('k')).toBe('v')
})

test('a foreign value that begins with a point is not a version', async () => {
  const { backend, cache } = setUp()
  await backend.set(tagKey, '.foreign')
  await cache.set('k', 'v', { tags: ['news'] })
  expect(await cache.get('k')).toBeUndefined()
})

test('a version that was created and lost at once is created again', async () => {
  const { backend, clock } = setUp()
  let adds = 0
  const store = wrapStore<ByteStore>(backend, (operation, call) =>
    operation === 'add' && ++adds === 1 ? (false as never) : call(),
  )
  const cache = new Cache(store, { clock })
  await cache.set('k', 'v', { tags: ['news'] })
  expect(adds).toBe(2)
  expect(await cache.get('k')).toBe('v')
})

test('the version that another process creates meanwhile is read from the primary', async () => {
  const { backend, clock, cache } = setUp()
  const store = wrapStore<ByteStore>(backend, async (operation, call, args) => {
    if (operation === 'add') await cache.set('k', 'v', { tags: ['news'] })
    const isStrong = (args[1] as { consistency?: string } | undefined)?.consistency === 'strong'
    return operation === 'get' && args[0] === tagKey && !isStrong ? (undefined as never) : call()
  })
  await new Cache(store, { clock }).set('l', 'v', { tags: ['news'] })
  expect(await cache.getMany(['k', 'l'])).toEqual(['v', 'v'])
})

test('an invalidation replaces a version that another process creates meanwhile', async () => {
  const { backend, clock, cache } = setUp()
  const store = wrapStore<ByteStore>(backend, async (operation, call) => {
    if (operation === 'add') await cache.set('k', 'v', { tags: ['news'] })
    return call()
  })
  await new Cache(store, { clock }).invalidateTags('news')
  expect(await cache.get('k')).toBeUndefined()
})

test('calls of one turn with the same array of tags share the reads of its versions', async () => {
  const cache = new Cache(withBatching(referenceStore()))
  const keys = Array.from({ length: 32 }, (_, index) => `k${index}`)
  const names = ['news', 'sport']
  const read = (tags: () => string[]) =>
    Promise.all(keys.map((key) => cache.remember(key, { tags: tags() }, () => 'v')))
  await read(() => names)
  const own = await promisesOf(() => read(() => [...names]))
  const shared = await promisesOf(() => read(() => names))
  expect(own - shared).toBeGreaterThan(keys.length)
})

test('a tag that was exchanged in an array counts in the next call', async () => {
  const { cache } = setUp()
  const tags = ['news']
  await cache.remember('k', { tags }, () => 'v')
  await cache.remember('k', { tags }, () => 'again')
  tags[0] = 'sport'
  await cache.remember('l', { tags }, () => 'v')
  await cache.invalidateTags('news')
  expect(await cache.getMany(['k', 'l'])).toEqual([undefined, 'v'])
})

test('a store may share the read of one tag, and not that of another one', async () => {
  const { backend, clock, cache } = setUp()
  await cache.set('k', 'v', { tags: ['news', 'sport'] })
  const shared = Promise.resolve(backend.get(tagKey))
  const store = wrapStore<ByteStore>(backend, (operation, call, args) =>
    operation === 'get' && args[0] === tagKey ? (shared as never) : call(),
  )
  const other = new Cache(store, { clock })
  const tags = ['news', 'sport']
  const load = () => other.remember('k', { tags }, () => 'loaded')
  expect(await load()).toBe('v')
  await cache.invalidateTags('sport')
  expect(await load()).toBe('loaded')
})

test('calls share the versions that are being read if they share the read of each tag', async () => {
  const [news, sport] = ['1-a.1-a', '2-b.2-b'].map((version) => Promise.resolve(version))
  let readSport: () => unknown = () => sport
  const get = (key: string) => (key === 'tag:news' ? news : readSport())
  const versions = versionsOver(get)
  const tags = ['news', 'sport']
  const first = versions.read(tags)
  expect(versions.read(tags)).toBe(first)
  readSport = () => Promise.resolve('3-c.3-c')
  expect((await versions.read(tags)).get('sport')).toBe('3-c.3-c')
  expect((await first).get('sport')).toBe('2-b.2-b')
})

test('a read that has ended is not shared, and its end forgets no other one', async () => {
  const news = gate<string>()
  const sport = gate<string>()
  const versions = versionsOver((key) => (key === 'tag:news' ? news.opened : sport.opened))
  const [first, second] = [['news'], ['sport']]
  const reads = [versions.read(first), versions.read(second)]
  news.open('1-a.1-a')
  await reads[0]
  expect(versions.read(second)).toBe(reads[1])
  sport.open('2-b.2-b')
  await reads[1]
  await settle()
  expect(versions.read(second)).not.toBe(reads[1])
})

test('the versions of a synchronous store are known at once', () => {
  expect(versionsOver(() => '1-a.1-a').read(['news'])).toEqual(new Map([['news', '1-a.1-a']]))
})

test('the mark of a change is stored for a day longer, and followed by a version of its end', async () => {
  const now = 1_900_000_000_000
  const versions = versionsOver(
    () => undefined,
    async () => now,
  )
  expect(versions.markTtlOf(new Mark('change', 'token', 0, 5))).toBe(dayMs + 5)
  const { item, ttl } = await versions.newVersion()
  expect([timesOf(String(item)), ttl]).toEqual([[now, now], 30 * dayMs])
})

test('the end of a change is known when the clock of the backend has been read', async () => {
  const now = 1_900_000_000_000
  const versions = versionsOver(
    () => `\x01\x02Cother.0.30000.${now}`,
    async () => now,
  )
  expect(versions.read(['news'])).toEqual(new Map([['news', changingVersion]]))
  await settle()
  expect(versions.read(['news'])).toEqual(new Map([['news', undefined]]))
})

test('the mark of a change whose process has died becomes a version since its end', async () => {
  const { backend, cache, clock, operations, version } = setUp()
  const end = clock.now() + 10
  const mark = `\x01\x02Cother.0.30000.${end}`
  await backend.set(tagKey, mark)
  await clock.advance(9)
  await cache.set('k', 'v', { tags: ['news'] })
  expect(await cache.get('k')).toBeUndefined()
  await cache.invalidateTags('news')
  expect([await version(), operations()]).toEqual([mark, expect.not.arrayContaining(['touch'])])
  await clock.advance(1)
  await cache.set('k', 'v', { tags: ['news'] })
  expect(await cache.get('k')).toBe('v')
  expect(timesOf(await version())).toEqual([end, end])
})

test('a version that another process stores in place of such a mark is kept', async () => {
  const { backend, clock } = setUp()
  await backend.set(tagKey, `\x01\x02Cother.0.30000.${clock.now()}`)
  const other = new Cache(backend, { clock })
  const store = wrapStore<ByteStore>(backend, async (operation, call) => {
    if (operation === 'compareAndSet') await other.set('k', 'v', { tags: ['news'] })
    return call()
  })
  await new Cache(store, { clock }).set('l', 'v', { tags: ['news'] })
  expect(await other.getMany(['k', 'l'])).toEqual(['v', 'v'])
})

test('entries are valid with a later version that has made them stale only', () => {
  expect([isSameHard('a.1', 'a.2'), isSameHard('a.1', 'b.1')]).toEqual([true, false])
})

test('tags are changing if one of them is', () => {
  const versions: Versions = new Map([
    ['news', '1-a.1-a' as never],
    ['sport', changingVersion],
  ])
  expect(isChanging(versions, ['news', 'none'])).toBe(false)
  expect(isChanging(versions, ['news', 'sport'])).toBe(true)
})

test('one tag may be read synchronously, and another one not', async () => {
  const { backend, clock } = setUp()
  const store = wrapStore<ByteStore>(backend, (operation, call, args) =>
    operation === 'get' && args[0] !== tagKey ? call() : (Promise.resolve(call()) as never),
  )
  const cache = new Cache(store, { clock })
  await cache.set('k', 'v', { tags: ['news', 'sport'] })
  expect(await cache.get('k')).toBe('v')
})

test('an invalidation succeeds although others replace the version all the time', async () => {
  const { backend, clock } = setUp()
  const sets: unknown[] = []
  let attempts = 0
  const store = wrapStore<ByteStore>(backend, async (operation, call, args) => {
    if (operation === 'set') {
      await settle()
      sets.push(args[2])
    }
    if (operation !== 'compareAndSet' && operation !== 'add') return call()
    attempts++
    return false as never
  })
  await new Cache(store, { clock }).invalidateTags('news')
  expect([attempts, sets]).toEqual([10, [30 * dayMs]])
  expect(timesOf(String(await backend.get(tagKey)))).toEqual([clock.now(), clock.now()])
})

test('an invalidation is repeated if another process replaces the version meanwhile', async () => {
  const { backend, cache, clock } = setUp()
  await cache.set('k', 'v', { tags: ['news'] })
  let swaps = 0
  const store = wrapStore<ByteStore>(backend, async (operation, call) => {
    if (operation === 'compareAndSet' && swaps++ === 0) await cache.invalidateTags('news')
    return call()
  })
  await clock.advance(1)
  await new Cache(store, { clock }).invalidateTags('news', { stale: true })
  expect([swaps, await cache.get('k')]).toEqual([2, undefined])
})

test('the ttl of a version that is used is extended once a day', async () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  const { clock, cache, operations } = setUp()
  const pass = async (ms: number) => {
    vi.advanceTimersByTime(ms)
    await clock.advance(ms)
  }
  const use = async () => {
    operations()
    await cache.set('k', 'v', { tags: ['news'], ttl: '90d' })
    await settle()
    return operations()
  }
  expect(await use()).toEqual(['get', 'add'])
  await pass(1_000)
  expect(await use()).toEqual(['get', 'touch'])
  await pass(dayMs - 1)
  expect(await use()).toEqual(['get'])
  await pass(1)
  expect(await use()).toEqual(['get', 'touch'])
  await pass(30 * dayMs - 1)
  expect(await cache.get('k')).toBe('v')
  await pass(1)
  expect(await cache.get('k')).toBeUndefined()
})

test.each<[string, () => never]>([
  [
    'at once',
    () => {
      throw new Error('down')
    },
  ],
  ['later', () => Promise.reject(new Error('down')) as never],
])('a version whose ttl cannot be extended does not make a write fail: %s', async (_, fail) => {
  const { backend, clock } = setUp()
  await new Cache(backend, { clock }).invalidateTags('news')
  const store = wrapStore<ByteStore>(backend, (operation, call) =>
    operation === 'touch' ? fail() : call(),
  )
  const cache = new Cache(store, { clock })
  await cache.set('k', 'v', { tags: ['news'] })
  await settle()
  expect(await cache.get('k')).toBe('v')
})
