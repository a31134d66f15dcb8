import { setTimeout as sleep } from 'node:timers/promises'
import type { CacheStore, Clock } from '@stowage/core'
import { memory } from '@stowage/memory'
import { isFullTier } from '@stowage/test-servers'
import {
  conform,
  conformance,
  contractVersion,
  ManualClock,
  type ReferenceStoreOptions,
  referenceStore,
  type StoredItem,
} from '@stowage/testing'
import { describe, expect, test } from 'vitest'

const memcachedLimits = { keyBytes: 250, valueBytes: 1_048_576, ttlStep: 1_000 }

const stores: Record<string, (clock: Clock) => CacheStore> = {
  'the reference store': (clock) => referenceStore({ clock }),
  'the reference store with promises': (clock) => referenceStore({ clock, async: true }),
  'the reference store without scan': (clock) => referenceStore({ clock, scan: false }),
  'the reference store with the limits of memcached': (clock) =>
    referenceStore({ clock, limits: memcachedLimits }),
  'the reference store with promises and limits, without scan': (clock) =>
    referenceStore({ clock, async: true, scan: false, limits: memcachedLimits }),
  'the reference store with a clock of its own': (clock) =>
    Object.assign(referenceStore({ clock, async: true }), { time: async () => clock.now() }),
  'memory with bytes': (clock) => memory({ clock }),
  'memory with shared values': (clock) => memory({ clock, values: 'shared' }),
  'memory with small values': (clock) => memory({ clock, maxValueBytes: 100_000 }),
}

/** Those that differ most. packages/memory has the tests of its own. */
const usual = ['the reference store', 'the reference store with promises and limits, without scan']

for (const [name, createStore] of Object.entries(stores)) {
  if (!isFullTier && !usual.includes(name)) continue
  describe(name, () => {
    const clock = new ManualClock()
    conform(test, () => createStore(clock), { wait: (ms) => clock.advance(ms), exact: true })
  })
}

test('conform states the version of the contract, unless only some groups run', () => {
  const namesOf = (options: { groups?: ['read'] }) => {
    const names: string[] = []
    conform((name) => names.push(name), referenceStore, { wait: async () => {}, ...options })
    return names
  }
  expect(namesOf({})).toContain(`contract: version ${contractVersion}`)
  expect(namesOf({})).toHaveLength(conformance.filter(({ group }) => group !== 'outage').length + 1)
  expect(namesOf({ groups: ['read'] }).filter((name) => name.startsWith('contract'))).toEqual([])
})

describe('reference stores that share their items', () => {
  const clock = new ManualClock()
  for (const scan of isFullTier ? [true, false] : [true]) {
    const options = { clock, scan, items: new Map<string, StoredItem>() }
    conform(test, () => referenceStore(options), {
      wait: (ms) => clock.advance(ms),
      exact: true,
      sharedBackend: true,
    })
  }
})

describe('the reference store on the system clock', () => {
  const options: ReferenceStoreOptions = { async: true, limits: { ttlStep: 10 } }
  conform(test.concurrent, () => referenceStore(options), {
    wait: async (ms) => sleep(ms),
    groups: isFullTier ? undefined : ['expiry'],
  })
})
