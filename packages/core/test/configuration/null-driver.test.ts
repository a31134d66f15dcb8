import { Cache, cachesFromEnv, DriverRegistry, nullStore } from '@stowage/core'
import { SessionStore } from '@stowage/express'
import { conform } from '@stowage/testing'
import { describe, expect, test } from 'vitest'

const memory = () => import('@stowage/memory')

test('every read is a miss, and every write is accepted', async () => {
  const store = nullStore()
  await store.set('k', 'value')
  await store.setMany([['k', 'value']])
  expect(await store.add('k', 'value')).toBe(true)
  expect(await store.get('k')).toBeUndefined()
  expect(await store.getMany(['k', 'l'])).toEqual([undefined, undefined])
  expect(await store.compareAndSet('k', 'value', 'next')).toBe(false)
  expect([await store.increment('n', 5), await store.increment('n', 5)]).toEqual([5, 5])
  expect([await store.touch('k'), await store.delete('k'), await store.deleteMany(['k'])]).toEqual([
    false,
    false,
    0,
  ])
  await store.close()
  expect(() => store.get('k')).toThrow(expect.objectContaining({ code: 'ERR_CACHE_CLOSED' }))
})

test('remember loads with every call', async () => {
  const cache = new Cache(nullStore())
  let loads = 0
  for (const expected of [1, 2, 3]) {
    expect(await cache.remember('k', { ttl: '1m' }, () => ++loads)).toBe(expected)
  }
  await cache.invalidateTags('tag')
  await cache.clear()
})

describe('the environment', () => {
  const registry = new DriverRegistry({ memory })

  test('CACHE_DRIVER=null needs no registration', async () => {
    const caches = await cachesFromEnv({ CACHE_DRIVER: 'null', SESSION_DRIVER: 'memory' }, registry)
    expect(caches.use('cache').driver).toBe('null')
    await caches.close()
  })

  test.each([{ CACHE_DRIVER: 'null' }, { SESSION_DRIVER: 'null' }])(
    'sessions refuse it: %o',
    async (variables) => {
      await expect(cachesFromEnv(variables, registry)).rejects.toMatchObject({
        problems: [
          { variable: 'SESSION_DRIVER', remedy: expect.stringContaining('keeps nothing') },
        ],
      })
    },
  )
})

test('the session store refuses it', () => {
  const cache = new Cache(nullStore())
  expect(() => new SessionStore({ cache })).toThrow('keeps nothing')
})

describe('the rules of the lifecycle', () => {
  conform(test, () => nullStore(), { wait: () => {}, groups: ['lifecycle'] })
})
