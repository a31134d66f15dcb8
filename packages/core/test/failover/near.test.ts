import { Cache, channels, type FailoverEvent, failover } from '@stowage/core'
import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { Chaos, withChaos } from '@stowage/testing'
import { afterEach, describe, expect, test } from 'vitest'
import { TestBus } from '../near/test-bus.ts'

const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

/** Two processes with a near cache and a fallback store each, over one primary store, whose bus outlives the outage. */
function twoProcesses() {
  const chaos = new Chaos()
  const bus = new TestBus()
  bus.publish = (keys) => bus.deliver(keys)
  const primary = withChaos<ByteStore>(memory(), chaos)
  const phases: string[] = []
  const start = () => {
    // Each with a store of its own, as in two processes.
    const own = wrapStore(primary, (_, call) => call())
    const store = failover([own, memory()], { breaker: { probe: 20 }, settle: 100 })
    cleanups.push(() => store.close())
    return new Cache(store, { ttl: '1h', near: { bus, ttl: '1h' } })
  }
  const record = (event: unknown) => phases.push((event as FailoverEvent).phase)
  channels.failover.subscribe(record)
  cleanups.push(() => channels.failover.unsubscribe(record))
  return { chaos, a: start(), b: start(), phases }
}

/** Calls both caches until both have entered this phase, which each does once. The order of their phases is not determined. */
async function untilBoth(world: ReturnType<typeof twoProcesses>, phase: string): Promise<void> {
  const call = async () => {
    await Promise.all([world.a.get('other', strong), world.b.get('other', strong)])
    return world.phases.filter((each) => each === phase)
  }
  await expect.poll(call, { interval: 5 }).toEqual([phase, phase])
}

const strong = { consistency: 'strong' } as const

describe('a near cache in front of a failover store', () => {
  test('drops what it has kept of the fallback store when the primary one returns', async () => {
    const world = twoProcesses()
    const { chaos, a, b } = world
    for (const cache of [a, b]) for (const _ of [1, 2]) await cache.get('subscribes')
    chaos.failAll()
    await untilBoth(world, 'fallback')
    await a.set('k', 'older')
    await a.set('page', 'older', { tags: ['pages'] })
    await b.set('k', 'newer')
    await b.invalidateTags('pages')
    expect([await a.get('k'), await a.get('page')]).toEqual(['older', 'older'])
    chaos.reset()
    await untilBoth(world, 'primary')
    for (const key of ['k', 'page']) {
      expect(await a.get(key)).toEqual(await a.get(key, strong))
      expect(await a.get(key)).not.toBe('older')
    }
  })
})
