import { Cache, CacheError } from '@stowage/core'
import { Chaos, conform, ManualClock, referenceStore, withChaos } from '@stowage/testing'
import { describe, expect, test } from 'vitest'

const unavailable = { code: 'ERR_CACHE_UNAVAILABLE', store: 'reference', retryable: true }

function setup(clock = new ManualClock()) {
  const chaos = new Chaos(clock)
  return { chaos, clock, store: withChaos(referenceStore({ clock }), chaos) }
}

describe('a store without faults', () => {
  const clock = new ManualClock()
  conform(test, () => withChaos(referenceStore({ clock }), new Chaos()), {
    wait: (ms) => clock.advance(ms),
    exact: true,
  })
})

test('fail rejects `times` calls after `skip` calls', async () => {
  const { chaos, store } = setup()
  chaos.fail('get', { times: 2, skip: 1 })
  await store.set('a', '1')
  expect(await store.get('a')).toBeDefined()
  const failed = store.get('a')
  await expect(failed).rejects.toMatchObject({ ...unavailable, operation: 'get' })
  await expect(failed).rejects.toSatisfy(CacheError.is)
  await expect(store.get('a')).rejects.toMatchObject(unavailable)
  expect(await store.get('a')).toBeDefined()
  expect(chaos.callCount('get')).toBe(4)
})

test('fail takes several operations and an error', async () => {
  const { chaos, store } = setup()
  const error = new Error('custom')
  chaos.fail(['set', 'delete'], { error })
  await expect(store.set('a', '1')).rejects.toBe(error)
  await expect(store.delete('a')).rejects.toBe(error)
  expect(await store.get('a')).toBeUndefined()
})

test('failAll fails every operation except close until reset', async () => {
  const { chaos, store } = setup()
  chaos.failAll()
  await expect(store.ping()).rejects.toMatchObject(unavailable)
  await expect(store.scan?.('')[Symbol.asyncIterator]().next()).rejects.toMatchObject(unavailable)
  chaos.reset()
  expect(await store.ping()).toBeUndefined()
  chaos.failAll()
  await store.close()
})

test('loseReply executes the call and rejects it', async () => {
  const { chaos, store } = setup()
  chaos.loseReply('increment', { times: 1 })
  await expect(store.increment('n', 1)).rejects.toMatchObject(unavailable)
  expect(await store.increment('n', 1)).toBe(2)
})

test('delays add up on the given clock', async () => {
  const { chaos, clock, store } = setup()
  chaos.delay(20)
  chaos.delay(10, 'get', { times: 1 })
  const start = clock.now()
  const elapsed = Promise.resolve(store.get('a')).then(() => clock.now() - start)
  await clock.advance(100)
  expect(await elapsed).toBe(30)
})

test('hang holds a call until reset, which executes it', async () => {
  const { chaos, clock, store } = setup()
  chaos.hang('set')
  let isSettled = false
  const setting = Promise.resolve(store.set('a', '1')).then(() => {
    isSettled = true
  })
  await clock.advance(60_000)
  expect(isSettled).toBe(false)
  expect(await store.get('a')).toBeUndefined()
  chaos.reset()
  await setting
  expect(await store.get('a')).toBeDefined()
})

test('each page of a scan is a call', async () => {
  const { chaos, store } = setup()
  await store.setMany(Array.from({ length: 250 }, (_, index) => [`k${index}`, 'x'] as const))
  chaos.fail('scan', { skip: 1 })
  const pages: (readonly string[])[] = []
  const scanning = async () => {
    for await (const page of store.scan?.('') ?? []) pages.push(page)
  }
  await expect(scanning()).rejects.toMatchObject({ ...unavailable, operation: 'scan' })
  expect(pages).toHaveLength(1)
})

test('a cache loads during an outage and stores again after it', async () => {
  const { chaos, store } = setup()
  const cache = new Cache(store)
  chaos.failAll()
  expect(await cache.remember('a', {}, () => 1)).toBe(1)
  await expect(cache.get('a')).rejects.toMatchObject(unavailable)
  chaos.reset()
  expect(await cache.remember('a', {}, () => 2)).toBe(2)
  expect(await cache.get('a')).toBe(2)
})
