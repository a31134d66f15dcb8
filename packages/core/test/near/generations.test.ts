import { Cache } from '@stowage/core'
import { ManualClock, referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { TestBus } from './test-bus.ts'

describe('generations', () => {
  /** Two processes on a backend that cannot list its keys. */
  async function twoProcesses() {
    const clock = new ManualClock()
    const items = new Map()
    const [bus, otherBus] = [new TestBus(), new TestBus()]
    const create = (own: TestBus) =>
      new Cache(referenceStore({ clock, items, scan: false, async: true }), {
        prefix: 'app:',
        clock,
        near: { bus: own },
      })
    const [cache, other] = [create(bus), create(otherBus)]
    for (const each of [cache, other]) {
      await each.get('subscribes')
      await each.get('subscribes')
    }
    return { cache, other, bus, otherBus, clock }
  }

  test('keys are announced without the ids of generations', async () => {
    const { cache, bus } = await twoProcesses()
    await cache.namespace('ns').set('k', 1)
    expect(bus.published).toEqual(['app:ns:k'])
  })

  test.each(['', 'ns'])('clear() of namespace "%s" is seen with its message', async (name) => {
    const { cache, other, bus, otherBus } = await twoProcesses()
    const inside = (each: Cache) => each.namespace('ns')
    await inside(cache).set('k', 1)
    await inside(cache).get('k')
    expect(await inside(cache).get('k')).toBe(1)
    await (name === '' ? other : inside(other)).clear()
    expect(otherBus.published).toContain(name === '' ? 'app:~generation' : 'app:ns:~generation')
    bus.deliver(otherBus.published)
    expect(await inside(cache).get('k')).toBeUndefined()
  })
})
