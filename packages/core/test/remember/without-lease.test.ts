import { Cache } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { ManualClock } from '@stowage/testing'
import { expect, test } from 'vitest'
import { gate, settle, twoProcesses } from './two-processes.ts'

const stale = { ttl: '1m', staleWhileRevalidate: '1h', lease: false } as const
const fails = { ttl: '1m', staleIfError: '1h', lease: false } as const

/** A loader that counts its calls. */
function counting(load: () => unknown) {
  const counted = () => {
    counted.calls++
    return load()
  }
  counted.calls = 0
  return counted
}

function fail(): never {
  throw new Error('database down')
}

test('each process refreshes a stale value in the background, with one write', async () => {
  const { a, b, clock, writes, reads } = twoProcesses()
  await a.remember('k', stale, () => 'old')
  await clock.advance(60_000)
  const loaded = gate<string>()
  const load = counting(() => loaded.opened)
  writes.length = 0
  for (const cache of [a, b, a, b]) expect(await cache.remember('k', stale, load)).toBe('old')
  await settle()
  expect(load.calls).toBe(2)
  loaded.open('new')
  await settle()
  expect(writes).toEqual(['compareAndSet', 'compareAndSet'])
  expect(reads.every((operation) => operation === 'get')).toBe(true)
  expect(await b.get('k')).toBe('new')
})

test('each process refreshes a value for callers that wait, with one write', async () => {
  const { a, b, clock, writes } = twoProcesses()
  await a.remember('k', fails, () => 'old')
  await clock.advance(60_000)
  writes.length = 0
  const load = counting(() => 'new')
  expect(await a.remember('k', fails, load)).toBe('new')
  expect(await b.remember('k', { ...fails, refresh: true }, load)).toBe('new')
  expect([load.calls, writes]).toEqual([2, ['compareAndSet', 'compareAndSet']])
})

test('each process pauses for itself after a failed refresh, and the old value stays', async () => {
  const { a, b, clock, writes } = twoProcesses()
  const options = { ...fails, backoff: '10s' } as const
  await a.remember('k', options, () => 'old')
  await clock.advance(60_000)
  writes.length = 0
  const load = counting(fail)
  for (const cache of [a, b, a, b]) expect(await cache.remember('k', options, load)).toBe('old')
  expect([load.calls, writes]).toEqual([2, []])
  await clock.advance(10_000)
  expect(await a.remember('k', options, () => 'new')).toBe('new')
})

test('a failed refresh in the background pauses as well', async () => {
  const { a, clock } = twoProcesses()
  await a.remember('k', stale, () => 'old')
  await clock.advance(60_000)
  const load = counting(fail)
  for (let call = 0; call < 3; call++) {
    expect(await a.remember('k', stale, load)).toBe('old')
    await settle()
  }
  expect(load.calls).toBe(1)
  await clock.advance(1_000)
  expect(await a.remember('k', stale, () => 'new')).toBe('old')
  await settle()
  expect(await a.get('k')).toBe('new')
})

test('a write of the same process during a refresh is not overwritten', async () => {
  const { a } = twoProcesses()
  for (const change of ['set', 'delete'] as const) {
    await a.set('k', 'old')
    const loaded = gate<string>()
    const refreshed = a.remember('k', { lease: false, refresh: true }, () => loaded.opened)
    await settle()
    await a[change]('k', 'old')
    loaded.open('refreshed')
    expect(await refreshed).toBe('refreshed')
    expect(await a.get('k')).toBe(change === 'set' ? 'old' : undefined)
  }
})

test('a refresh that finds no value deletes the stale one', async () => {
  const { a, b, clock } = twoProcesses()
  await a.remember('k', fails, () => 'old')
  await clock.advance(60_000)
  expect(await a.remember('k', fails, () => undefined)).toBeUndefined()
  expect(await b.remember('k', fails, () => 'new')).toBe('new')
})

test('a write of this process during the read prevents that the loaded value is stored', async () => {
  const { b, backend } = twoProcesses()
  const replied = gate()
  const slow = wrapStore(backend, async (operation, call) => {
    const result = await call()
    if (operation === 'get') await replied.opened
    return result
  })
  const a = new Cache(slow, { clock: new ManualClock() })
  const loaded = gate<string>()
  const call = a.remember('k', { lease: false }, () => loaded.opened)
  await settle()
  await a.set('k', 'written')
  replied.open()
  await settle()
  await b.delete('k')
  loaded.open('old')
  await call
  expect(await b.get('k')).toBeUndefined()
})

test('calls of one process share a value that is not stored', async () => {
  const { a } = twoProcesses()
  const loaded = gate<string>()
  const load = counting(() => loaded.opened)
  const skip = () =>
    a.remember('k', { lease: false }, (context) => {
      context.skip()
      return load()
    })
  const first = skip()
  await settle()
  const second = skip()
  await settle()
  loaded.open('value')
  expect([await first, await second, load.calls]).toEqual(['value', 'value', 1])
})
