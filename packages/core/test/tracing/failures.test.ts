import { Cache, CacheError } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { expect, test } from 'vitest'
import { eventsDuring } from '../remember/events.ts'

/** A cache whose backend does not reply. */
function unreachable(): Cache {
  const store = wrapStore(memory(), (operation) => {
    throw new CacheError('ERR_CACHE_UNAVAILABLE', `mystore ${operation} failed`)
  })
  return new Cache(store, { name: 'pages' })
}

const options = { limit: 1, window: '1m' } as const

test.each<[string, string, (cache: Cache) => Promise<unknown>]>([
  ['lock', 'acquire', (cache) => cache.lock('l').acquire()],
  ['lock', 'block', (cache) => cache.lock('l').block('1s')],
  ['lock', 'run', (cache) => cache.lock('l').run(() => 1)],
  ['lock', 'refresh', (cache) => cache.lock('l').refresh()],
  ['lock', 'release', (cache) => cache.lock('l').release()],
  ['lock', 'isLocked', (cache) => cache.lock('l').isLocked()],
  ['lock', 'isOwned', (cache) => cache.lock('l').isOwned()],
  ['concurrency', 'run', (cache) => cache.concurrency('c', { limit: 2 }).run(() => 1)],
  ['rateLimit', 'consume', (cache) => cache.rateLimit('r', options).consume('k')],
  ['rateLimit', 'peek', (cache) => cache.rateLimit('r', options).peek('k')],
  ['rateLimit', 'undo', (cache) => cache.rateLimit('r', options).undo('k')],
  ['rateLimit', 'reset', (cache) => cache.rateLimit('r', options).reset('k')],
])('%s: the failure of %s is published once', async (operation, _, call) => {
  const cache = unreachable()
  let rejected: unknown
  const events = await eventsDuring('stowage:error', () =>
    call(cache).catch((error) => {
      rejected = error
    }),
  )
  expect(rejected).toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
  expect(events).toMatchObject([{ cache: 'pages', operation, isRejected: true, error: rejected }])
})

test('a lock that another owner holds is not published as a failure', async () => {
  const cache = new Cache(memory())
  const events = await eventsDuring('stowage:error', () =>
    cache.lock('l').run(async () => {
      await expect(cache.lock('l').run(() => 1)).rejects.toMatchObject({ code: 'ERR_CACHE_LOCKED' })
    }),
  )
  expect(events).toEqual([])
})

test('an observed call with a wrong argument rejects with its own error', async () => {
  const keys = undefined as unknown as string[]
  const cache = new Cache(memory())
  const error = await cache.getMany(keys).catch((reason) => reason)
  const events = await eventsDuring('stowage:error', () =>
    expect(cache.getMany(keys)).rejects.toThrow(error.message),
  )
  expect(events).toMatchObject([{ operation: 'getMany', key: '', isRejected: true }])
})
