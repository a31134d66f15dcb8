import { Cache, type CacheOptions, type NearOptions } from '@stowage/core'
import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { ManualClock, ReferenceStore } from '@stowage/testing'
import { TestBus } from './test-bus.ts'

export interface World {
  readonly cache: Cache
  readonly bus: TestBus
  readonly store: ReferenceStore
  readonly clock: ManualClock
  /** The operations that reached the store. */
  readonly calls: string[]
  /** Takes the place of the next read: returns a function that lets it continue. */
  holdRead(): () => void
}

/** A cache with a near cache that is subscribed already. */
export async function world(near: NearOptions = {}, options: CacheOptions = {}): Promise<World> {
  const clock = new ManualClock()
  const store = new ReferenceStore({ clock })
  const bus = new TestBus()
  const calls: string[] = []
  let gate: Promise<void> | undefined
  const observed = wrapStore(store as ByteStore, async (operation, call) => {
    calls.push(operation)
    const result = await call()
    if (operation !== 'get' && operation !== 'getWithTtl') return result
    await gate
    return result
  })
  const cache = new Cache(observed, { prefix: 'app:', clock, near: { bus, ...near }, ...options })
  await cache.get('subscribes')
  await cache.get('subscribes')
  calls.length = 0
  const holdRead = () => {
    let open = () => {}
    gate = new Promise((resolve) => {
      open = () => {
        gate = undefined
        resolve()
      }
    })
    return () => open()
  }
  return { cache, bus, store, clock, calls, holdRead }
}
