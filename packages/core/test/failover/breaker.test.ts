import { type BreakerEvent, CacheError, channels, failover } from '@stowage/core'
import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { afterEach, expect, test } from 'vitest'

const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

/** A store of several nodes. The first `down` of them fail, and so does a ping. */
function nodes(count: number) {
  const state = { down: 0, pings: 0, calls: 0 }
  const isDown = (key: unknown) =>
    Number.parseInt(/\d+$/.exec(String(key))?.[0] ?? '0', 10) % count < state.down
  const store = wrapStore<ByteStore>(memory(), async (operation, call, [key]) => {
    if (operation === 'close') return call()
    if (operation === 'ping') state.pings++
    else if (!String(key).startsWith('~probe')) state.calls++
    if (operation === 'ping' ? state.down > 0 : isDown(key)) {
      throw new CacheError('ERR_CACHE_UNAVAILABLE', 'the node is down', { operation })
    }
    return call()
  })
  const states: string[] = []
  const record = (event: unknown) => states.push((event as BreakerEvent).state)
  channels.breaker.subscribe(record)
  cleanups.push(() => channels.breaker.unsubscribe(record))
  return { store, state, states }
}

test('one of three nodes that is down does not open the breaker', async () => {
  const { store, state, states } = nodes(3)
  const composed = failover([store, memory()], { breaker: { probe: 20 }, settle: 50 })
  cleanups.push(() => composed.close())
  state.down = 1
  for (let key = 0; key < 60; key++) await composed.set(`k${key}`, `${key}`)
  for (let key = 0; key < 60; key++) expect(String(await composed.get(`k${key}`))).toBe(`${key}`)
  expect(states).not.toContain('open')
})

test('opens when every call fails, and pings until the store replies', async () => {
  const { store, state, states } = nodes(1)
  const composed = failover([store, memory()], { breaker: { probe: 20 }, settle: 50 })
  cleanups.push(() => composed.close())
  state.down = 1
  for (let key = 0; key < 10; key++) await composed.set(`k${key}`, 'v')
  await expect.poll(() => states).toContain('open')
  const { calls } = state
  for (let key = 0; key < 100; key++) await composed.get(`k${key % 10}`)
  expect(state.calls).toBe(calls)
  await expect.poll(() => state.pings).toBeGreaterThan(3)
  state.down = 0
  await expect.poll(() => states.at(-1)).toBe('closed')
})
