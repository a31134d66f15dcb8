import { Cache, CacheError } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { referenceStore } from '@stowage/testing'
import { expect, test } from 'vitest'
import { gate, settle, twoProcesses } from './two-processes.ts'

test('the signal of a load aborts when the last caller leaves', async () => {
  const cache = new Cache(referenceStore({ async: true }))
  let signal: AbortSignal | undefined
  const load = (context: { signal: AbortSignal }) => {
    signal = context.signal
    return gate<string>().opened
  }
  const callers = [new AbortController(), new AbortController()]
  const calls = callers.map((caller) => cache.remember('k', { signal: caller.signal }, load))
  await settle()
  callers[0]?.abort(new Error('first left'))
  await expect(calls[0]).rejects.toThrow('first left')
  expect(signal?.aborted).toBe(false)
  callers[1]?.abort(new Error('second left'))
  await expect(calls[1]).rejects.toThrow('second left')
  expect(signal?.aborted).toBe(true)
})

test('a load is not begun if its callers leave while the key is read', async () => {
  const read = gate()
  const store = wrapStore(referenceStore(), async (operation, call) => {
    if (operation === 'get') await read.opened
    return call()
  })
  const cache = new Cache(store)
  const caller = new AbortController()
  let loads = 0
  const call = cache.remember('k', { signal: caller.signal }, () => ++loads)
  caller.abort(new Error('left'))
  await expect(call).rejects.toThrow('left')
  read.open()
  await settle()
  expect(loads).toBe(0)
  // Neither a lease nor the flight that was given up holds up the next call.
  expect(await cache.remember('k', {}, () => 'value')).toBe('value')
})

test('a load is begun for a caller that joins after the others have left', async () => {
  const read = gate()
  let reads = 0
  const store = wrapStore(referenceStore(), async (operation, call) => {
    if (operation === 'get' && ++reads === 1) await read.opened
    return call()
  })
  const cache = new Cache(store)
  const caller = new AbortController()
  const first = cache.remember('k', { signal: caller.signal }, () => 'first')
  caller.abort(new Error('left'))
  await expect(first).rejects.toThrow('left')
  const second = cache.remember('k', {}, () => 'second')
  await settle()
  read.open()
  expect(['first', 'second']).toContain(await second)
})

test('a call does not join a load that was aborted because its callers left', async () => {
  const cache = new Cache(referenceStore({ async: true }))
  const caller = new AbortController()
  const never = gate<string>().opened
  const first = cache.remember('k', { signal: caller.signal }, () => never)
  await settle()
  caller.abort(new Error('left'))
  const second = cache.remember('k', {}, () => 'value')
  await expect(first).rejects.toThrow('left')
  expect(await second).toBe('value')
})

test('an invalid option of one call does not block the key', async () => {
  const cache = new Cache(referenceStore({ async: true }))
  await expect(cache.remember('k', { jitter: 2 }, () => 1)).rejects.toThrow(/jitter/)
  expect(await cache.remember('k', { timeout: '5s' }, () => 2)).toBe(2)
})

test('an invalid timeout rejects the call without a load', async () => {
  const cache = new Cache(referenceStore({ async: true }))
  let loads = 0
  const call = cache.remember('k', { timeout: 'soon' as never }, () => ++loads)
  await expect(call).rejects.toThrow()
  await settle()
  expect(loads).toBe(0)
})

test('a store that fails while a call waits for another process does not fail the call', async () => {
  const inner = referenceStore()
  let isFailing = false
  const store = wrapStore(inner, (_, call) => {
    if (isFailing) throw new CacheError('ERR_CACHE_UNAVAILABLE', 'unreachable')
    return call()
  })
  await inner.set('k', '\x01\x02Lother.0.5000')
  const call = new Cache(store).remember('k', {}, () => 'loaded')
  await settle()
  isFailing = true
  expect(await call).toBe('loaded')
})

test('a store that cannot read the tags before a load without a lease does not fail the call', async () => {
  const store = wrapStore(referenceStore(), (operation, call) => {
    if (operation === 'add') throw new CacheError('ERR_CACHE_UNAVAILABLE', 'unreachable')
    return call()
  })
  const cache = new Cache(store)
  expect(await cache.remember('k', { lease: false, tags: ['t'] }, () => 'loaded')).toBe('loaded')
})

test('a refresh in the background whose loader waits for its own key completes', async () => {
  const { a, clock } = twoProcesses()
  const options = { ttl: '1m', staleWhileRevalidate: '1m', loadTimeout: '3s' } as const
  await a.remember('k', options, () => 'old')
  await clock.advance(61_000)
  const load = async () => {
    await settle()
    // Without the option, the stale value is not returned at once.
    return a.remember('k', { ttl: '1m' }, () => 'inner')
  }
  expect(await a.remember('k', options, load)).toBe('old')
  await expect.poll(() => a.get('k')).toBe('inner')
})
