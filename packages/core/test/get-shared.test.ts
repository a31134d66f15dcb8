import { Cache, compressed, json } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { getShared } from '@stowage/core/internal'
import { memory } from '@stowage/memory'
import { ManualClock } from '@stowage/testing'
import { expect, test } from 'vitest'

const bytes = Buffer.from([1, 2, 3, 0, 255])

test('returns the value at once from memory, without a copy', async () => {
  const cache = new Cache(memory())
  await cache.set('k', bytes)
  const first = getShared<Buffer>(cache, 'k')
  expect(first).toEqual(bytes)
  expect(getShared(cache, 'k')).toBe(first)
  expect(await cache.get('k')).not.toBe(first)
  await cache.set('k', { n: 1 })
  expect(getShared(cache, 'k')).toEqual({ n: 1 })
  expect(await getShared(cache, 'missing')).toBeUndefined()
})

test('mutating what get returns changes nothing for others', async () => {
  const cache = new Cache(memory(), { near: {} })
  await cache.set('k', bytes)
  for (let i = 0; i < 2; i++) (await cache.get<Buffer>('k'))?.fill(9)
  expect(await getShared(cache, 'k')).toEqual(bytes)
  ;(await cache.get<Buffer>('k'))?.fill(9)
  expect(await getShared(cache, 'k')).toEqual(bytes)
})

test('is served from the near cache without a promise', async () => {
  const remote = wrapStore(memory(), async (_operation, call) => call() as never)
  const cache = new Cache(remote, { near: { ttl: '1m' } })
  await cache.set('k', bytes)
  await getShared(cache, 'k')
  const hit = getShared(cache, 'k')
  expect(hit).toEqual(bytes)
  expect(getShared(cache, 'k')).toBe(hit)
  await cache.set('k', 'new')
  expect(await getShared(cache, 'k')).toBe('new')
})

test('a codec that copies anyway decodes as for get', async () => {
  const cache = new Cache(memory(), { codec: compressed(json()) })
  const large = Buffer.alloc(10_000, 'x')
  await cache.set('k', large)
  expect(await getShared(cache, 'k')).toEqual(large)
})

test('returns nothing stale, expired or invalidated', async () => {
  const clock = new ManualClock()
  const cache = new Cache(memory({ clock }), { clock })
  await cache.set('k', bytes, { tags: ['t'], ttl: '10s' })
  expect(await getShared(cache, 'k')).toEqual(bytes)
  await cache.invalidateTags('t')
  expect(await getShared(cache, 'k')).toBeUndefined()
  const options = { ttl: '10s', staleWhileRevalidate: '1m' } as const
  await cache.remember('r', options, () => bytes)
  expect(await getShared(cache, 'r')).toEqual(bytes)
  await clock.advance(11_000)
  expect(await getShared(cache, 'r')).toBeUndefined()
})

test('rejects after close, also in memory', async () => {
  const cache = new Cache(memory())
  await cache.close()
  await expect(getShared(cache, 'k')).rejects.toMatchObject({ code: 'ERR_CACHE_CLOSED' })
})
