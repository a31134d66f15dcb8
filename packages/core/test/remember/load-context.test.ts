import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { ManualClock } from '@stowage/testing'
import { expect, test } from 'vitest'

const stale = { ttl: '1m', staleWhileRevalidate: '1h', staleIfError: '1h' } as const

function createCache() {
  const clock = new ManualClock()
  return { clock, cache: new Cache(memory({ clock }), { clock }) }
}

test('a loader may take the functions from its context', async () => {
  const { cache, clock } = createCache()
  await cache.remember('skipped', {}, ({ skip }) => skip())
  expect(await cache.has('skipped')).toBe(false)
  const part = await cache.remember(
    'page',
    stale,
    ({ setTtl, addTags, setValidators, addPart }) => {
      setTtl('2m')
      addTags('pages')
      setValidators({ etag: '"1"' })
      return addPart('body', '<main>')
    },
  )
  expect(await cache.get(part)).toBe('<main>')
  await clock.advance(90_000)
  expect(await cache.get('page')).toBe(part)
  await clock.advance(60_000)
  const refreshed = await cache.remember(
    'page',
    { ...stale, refresh: true },
    ({ etag, notModified }) => {
      expect(etag).toBe('"1"')
      return notModified()
    },
  )
  expect(refreshed).toBe(part)
  await cache.invalidateTags('pages')
  expect(await cache.get('page')).toBeUndefined()
})

test('a loader of several keys may take the function from its context', async () => {
  const { cache } = createCache()
  await cache.rememberMany(['a', 'b'], {}, (keys, { of }) => {
    of('a').skip()
    return [...keys]
  })
  expect([await cache.get('a'), await cache.get('b')]).toEqual([undefined, 'b'])
})
