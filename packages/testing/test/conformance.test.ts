import { setTimeout as sleep } from 'node:timers/promises'
import type { CacheStore, Clock } from '@stowage/core'
import { memory } from '@stowage/memory'
import { conform, ManualClock, type ReferenceOptions, referenceStore } from '@stowage/testing'
import { describe, test } from 'vitest'

const memcachedLike = { keyBytes: 250, valueBytes: 1_048_576, ttlStep: 1_000 }

const stores: Record<string, (clock: Clock) => CacheStore> = {
  'the reference store': (clock) => referenceStore({ clock }),
  'the reference store, answering later': (clock) => referenceStore({ clock, async: true }),
  'the reference store without scan': (clock) => referenceStore({ clock, scan: false }),
  'the reference store with small limits': (clock) =>
    referenceStore({ clock, limits: memcachedLike }),
  'the reference store, all of it': (clock) =>
    referenceStore({ clock, async: true, scan: false, limits: memcachedLike }),
  'memory, bytes': (clock) => memory({ clock }),
  'memory, shared': (clock) => memory({ clock, values: 'shared' }),
  'memory with small values': (clock) => memory({ clock, maxValueBytes: 100_000 }),
}

for (const [name, create] of Object.entries(stores)) {
  describe(name, () => {
    const clock = new ManualClock()
    conform(test, () => create(clock), { wait: (ms) => clock.advance(ms), exact: true })
  })
}

describe('on the system clock', () => {
  const options: ReferenceOptions = { async: true, limits: { ttlStep: 10 } }
  conform(test.concurrent, () => referenceStore(options), { wait: async (ms) => sleep(ms) })
})
