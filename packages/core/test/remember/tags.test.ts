import { Cache, type ReadOptions } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { ManualClock, referenceStore } from '@stowage/testing'
import { describe, expect, test, vi } from 'vitest'
import { gate, settle, twoProcesses } from './two-processes.ts'

const shared = () => {
  const { a, b, clock, backend } = twoProcesses({ prefix: 'app:' })
  return { a, b, clock, backend }
}
const local = () => {
  const clock = new ManualClock()
  const backend = memory({ clock })
  const cache = new Cache(backend, { clock, prefix: 'app:' })
  return { a: cache, b: cache, clock, backend }
}

describe.each(Object.entries({ 'a shared backend': shared, memory: local }))(
  'on %s',
  (_, create) => {
    test('invalidateTags makes the entries with a tag misses, for every way to write', async () => {
      const { a, b } = create()
      const tags = ['products']
      await a.set('set', 1, { tags })
      await a.setMany([['setMany', 2]], { tags })
      await a.add('add', 3, { tags })
      await a.update('update', () => 4, { tags })
      await a.set('replace', 0)
      await a.replace('replace', 5, { tags })
      await a.remember('remember', { tags }, () => 6)
      await a.remember('late', {}, (context) => {
        context.addTags('products')
        return 7
      })
      await a.remember('computed', { tags: () => tags }, () => 8)
      await a.set('other', 9, { tags: ['users'] })
      const keys = [
        'set',
        'setMany',
        'add',
        'update',
        'replace',
        'remember',
        'late',
        'computed',
        'other',
      ]
      expect(await b.getMany(keys)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
      await b.invalidateTags('products')
      expect(await a.getMany(keys)).toEqual([...Array(8).fill(undefined), 9])
      for (const key of keys.slice(0, 8)) expect(await a.get(key)).toBeUndefined()
      expect(await a.add('set', 'new')).toBe(true)
      expect(await a.get('set')).toBe('new')
      expect(await a.remember('late', {}, () => 'loaded')).toBe('loaded')
      expect(await b.get('late')).toBe('loaded')
    })

    test('stale: true makes the entries stale', async () => {
      const { a } = create()
      const options = { ttl: '1h', staleWhileRevalidate: '1h', tags: ['t'] } as const
      await a.remember('k', options, () => 'old')
      await a.invalidateTags('t', { stale: true })
      expect(await a.get('k')).toBeUndefined()
      expect(await a.remember('k', options, () => 'new')).toBe('old')
      await settle()
      expect(await a.get('k')).toBe('new')
    })

    test('a tag that is invalidated during a load invalidates the loaded value', async () => {
      const { a, b } = create()
      for (const options of [{ tags: ['t'] }, { tags: () => ['t'] }]) {
        await a.set('exists', 1, { tags: ['t'] })
        const loaded = gate<string>()
        const call = a.remember('k', options, () => loaded.opened)
        await settle()
        await b.invalidateTags('t')
        const joined = a.remember('k', options, () => 'new')
        loaded.open('old')
        expect(await call).toBe('old')
        expect(await joined).toBe('new')
        expect(await a.get('k')).not.toBe('old')
        await a.delete('k')
      }
    })

    test('tags belong to the cache, so that its namespaces share them', async () => {
      const { a, b } = create()
      await a.namespace('users').set('1', 'Ada', { tags: ['t'] })
      await b.namespace('products').invalidateTags('t')
      expect(await a.namespace('users').get('1')).toBeUndefined()
    })

    test('a lost tag makes its entries misses', async () => {
      const { a, backend } = create()
      await a.set('k', 'old', { tags: ['t'] })
      await backend.delete('app:~tag:t')
      expect(await a.get('k')).toBeUndefined()
      await a.set('other', 'new', { tags: ['t'] })
      expect(await a.get('k')).toBeUndefined()
      expect(await a.get('other')).toBe('new')
    })

    test('clear does not delete tags, and keys does not list them', async () => {
      const { a, backend } = create()
      await a.set('k', 1, { tags: ['t'] })
      const listed: string[] = []
      for await (const key of a.keys()) listed.push(key)
      expect(listed).toEqual(['k'])
      await a.clear()
      expect(await backend.get('app:~tag:t')).toBeDefined()
    })

    test('a tag lives for 30 days after its last use', async () => {
      const { a, clock } = create()
      await a.set('k', 1, { tags: ['t'], ttl: '60d' })
      await clock.advance(29 * 86_400_000)
      expect(await a.get('k')).toBe(1)
      await clock.advance(2 * 86_400_000)
      expect(await a.get('k')).toBeUndefined()
    })

    test('rejects invalid tags', async () => {
      const { a } = create()
      await expect(a.set('k', 1, { tags: [''] })).rejects.toThrow(TypeError)
      await expect(a.invalidateTags([1 as never])).rejects.toThrow(TypeError)
    })
  },
)

test('processes whose clocks differ agree about tags and freshness', async () => {
  const clock = new ManualClock()
  const behind = { now: () => clock.now() - 600_000, sleep: async () => {} }
  const backend = referenceStore({ clock })
  const timed = { ...wrapStore(backend, (_, call) => call()), time: () => clock.now() }
  const caches = [clock, behind].map((each) => new Cache({ ...timed }, { clock: each }))
  const [ahead, late] = caches as [Cache, Cache]
  await late.remember('k', { ttl: '1m', staleWhileRevalidate: '1h', tags: ['t'] }, () => 'value')
  expect(await ahead.get('k')).toBe('value')
  await late.invalidateTags('t')
  expect(await ahead.get('k')).toBeUndefined()
})

test('a late tag is safe if the time of the backend is known to a second only', async () => {
  const clock = new ManualClock()
  const backend = referenceStore({ clock })
  const processAt = (offset: number) => {
    const time = () => clock.now() + offset
    const limits = { ...backend.limits, timeError: 1_000 }
    return new Cache({ ...wrapStore(backend, (_, call) => call()), limits, time }, { clock })
  }
  const [ahead, behind] = [processAt(900), processAt(-900)]
  const loaded = gate<string>()
  const call = ahead.remember('k', { tags: () => ['t'] }, () => loaded.opened)
  await settle()
  await behind.invalidateTags('t')
  loaded.open('old')
  expect(await call).toBe('old')
  expect(await behind.get('k')).toBeUndefined()
})

test('a late tag is safe if the time of the backend reaches the process that invalidates it late', async () => {
  const clock = new ManualClock()
  vi.spyOn(performance, 'now').mockImplementation(() => clock.now())
  const backend = referenceStore({ clock })
  const reply = gate()
  const slow = async () => {
    const time = clock.now()
    await reply.opened
    return time
  }
  const processWith = (time: () => Promise<number>) =>
    new Cache(
      Object.assign(
        wrapStore(backend, (_, call) => call()),
        { time },
      ),
      { clock },
    )
  const [a, b] = [processWith(async () => clock.now()), processWith(slow)]
  const invalidating = b.invalidateTags('t')
  await settle()
  await clock.advance(200)
  const loaded = gate<string>()
  const call = a.remember('k', { tags: () => ['t'], lease: '1h' }, () => loaded.opened)
  await settle()
  await clock.advance(200)
  reply.open()
  await invalidating
  loaded.open('old')
  expect(await call).toBe('old')
  vi.restoreAllMocks()
  expect(await a.get('k')).toBeUndefined()
})

test('get finds a tagged value although a copy returns an older version of its tag', async () => {
  const { a, backend } = shared()
  const tagKey = 'app:~tag:t'
  await a.set('k', 'old', { tags: ['t'] })
  const older = await backend.get(tagKey)
  await a.invalidateTags('t')
  await a.set('k', 'new', { tags: ['t'] })
  const lagging = wrapStore(backend, async (operation, call, [keys, options]) => {
    const isStrong = (options as ReadOptions | undefined)?.consistency === 'strong'
    const isRead = operation === 'get' || operation === 'getMany'
    if (!isRead || isStrong || !String(keys).includes(tagKey)) return call()
    return (operation === 'get' ? older : [older]) as never
  })
  const b = new Cache(lagging, { prefix: 'app:' })
  expect(await b.get('k')).toBe('new')
  expect(await b.get('k')).toBe('new')
})

test('a key that begins with ~ does not collide with a tag', async () => {
  const { a, backend } = shared()
  await a.set('~tag:t', 'mine')
  await a.set('k', 1, { tags: ['t'] })
  await a.namespace('~refresh').set('k', 'mine too')
  expect(await a.get('~tag:t')).toBe('mine')
  expect(await a.get('k')).toBe(1)
  const listed: string[] = []
  for await (const key of a.keys()) listed.push(key)
  expect(listed.sort()).toEqual(['k', '~refresh:k', '~tag:t'])
  expect(await backend.get('app:~refresh:k')).toBeUndefined()
})
