import { Cache, CacheError } from '@stowage/core'
import { Chaos, conform, ManualClock, referenceStore, withChaos } from '@stowage/testing'
import { describe, expect, test } from 'vitest'

const unavailable = { code: 'ERR_CACHE_UNAVAILABLE', store: 'reference', retryable: true }

function troubled(clock = new ManualClock()) {
  const chaos = new Chaos(clock)
  return { chaos, clock, store: withChaos(referenceStore({ clock }), chaos) }
}

describe('a store under chaos that is calm is a store', () => {
  const clock = new ManualClock()
  conform(test, () => withChaos(referenceStore({ clock }), new Chaos()), {
    wait: (ms) => clock.advance(ms),
    exact: true,
  })
})

test('a failure hits the calls it names, as often as it says', async () => {
  const { chaos, store } = troubled()
  chaos.fail('get', { times: 2, skip: 1 })
  await store.set('a', '1')
  expect(await store.get('a')).toBeDefined()
  const failure = store.get('a')
  await expect(failure).rejects.toMatchObject({ ...unavailable, operation: 'get' })
  await expect(failure).rejects.toSatisfy(CacheError.is)
  await expect(store.get('a')).rejects.toMatchObject(unavailable)
  expect(await store.get('a')).toBeDefined()
  expect(chaos.calls('get')).toBe(4)
})

test('several operations, and an error of your own', async () => {
  const { chaos, store } = troubled()
  const error = new Error('mine')
  chaos.fail(['set', 'delete'], { error })
  await expect(store.set('a', '1')).rejects.toBe(error)
  await expect(store.delete('a')).rejects.toBe(error)
  expect(await store.get('a')).toBeUndefined()
})

test('failAll is an outage until it calms down; closing works', async () => {
  const { chaos, store } = troubled()
  chaos.failAll()
  await expect(store.ping()).rejects.toMatchObject(unavailable)
  await expect(store.scan?.('')[Symbol.asyncIterator]().next()).rejects.toMatchObject(unavailable)
  chaos.reset()
  expect(await store.ping()).toBeUndefined()
  chaos.failAll()
  await store.close()
})

test('a lost reply: the work is done, the caller is told otherwise', async () => {
  const { chaos, store } = troubled()
  chaos.loseReply('increment', { times: 1 })
  await expect(store.increment('n', 1)).rejects.toMatchObject(unavailable)
  expect(await store.increment('n', 1)).toBe(2)
})

test('delays add up, on the clock of the chaos', async () => {
  const { chaos, clock, store } = troubled()
  chaos.delay(20)
  chaos.delay(10, 'get', { times: 1 })
  const start = clock.now()
  const got = Promise.resolve(store.get('a')).then(() => clock.now() - start)
  await clock.advance(100)
  expect(await got).toBe(30)
})

test('a call that hangs goes on when it is calm', async () => {
  const { chaos, clock, store } = troubled()
  chaos.hang('set')
  let settled = false
  const setting = Promise.resolve(store.set('a', '1')).then(() => {
    settled = true
  })
  await clock.advance(60_000)
  expect(settled).toBe(false)
  expect(await store.get('a')).toBeUndefined()
  chaos.reset()
  await setting
  expect(await store.get('a')).toBeDefined()
})

test('a page of a scan is a call', async () => {
  const { chaos, store } = troubled()
  await store.setMany(Array.from({ length: 250 }, (_, index) => [`k${index}`, 'x'] as const))
  chaos.fail('scan', { skip: 1 })
  const pages: (readonly string[])[] = []
  const scanning = async () => {
    for await (const page of store.scan?.('') ?? []) pages.push(page)
  }
  await expect(scanning()).rejects.toMatchObject({ ...unavailable, operation: 'scan' })
  expect(pages).toHaveLength(1)
})

test('a cache in an outage: remember computes, and heals afterwards', async () => {
  const { chaos, store } = troubled()
  const cache = new Cache(store)
  chaos.failAll()
  expect(await cache.remember('a', {}, () => 1)).toBe(1)
  await expect(cache.get('a')).rejects.toMatchObject(unavailable)
  chaos.reset()
  expect(await cache.remember('a', {}, () => 2)).toBe(2)
  expect(await cache.get('a')).toBe(2)
})
