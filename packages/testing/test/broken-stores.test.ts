import { setTimeout as sleep } from 'node:timers/promises'
import { type Clock, systemClock } from '@stowage/core'
import type { ByteStore } from '@stowage/core/driver'
import { isFullTier } from '@stowage/test-servers'
import {
  type ConformanceCase,
  type ConformanceContext,
  type ConformanceGroup,
  conformance,
  ManualClock,
  type StoredItem,
} from '@stowage/testing'
import { describe, expect, test, vi } from 'vitest'
import { changes } from './broken/cache/changes.ts'
import { leases } from './broken/cache/leases.ts'
import { locks, rateLimits } from './broken/cache/locks.ts'
import { parts } from './broken/cache/parts.ts'
import { staleValues } from './broken/cache/stale-values.ts'
import { tags } from './broken/cache/tags.ts'
import { expiry } from './broken/guarantees/expiry.ts'
import { keysAndValues } from './broken/guarantees/keys-and-values.ts'
import { lifecycleAndErrors } from './broken/guarantees/lifecycle-and-errors.ts'
import { limits } from './broken/guarantees/limits.ts'
import { order } from './broken/guarantees/order.ts'
import {
  Backend,
  type BrokenOutage,
  createSound,
  deadlineMs,
  outages,
} from './broken/guarantees/outages.ts'
import {
  type BrokenStore,
  type BrokenStores,
  coarseTtls,
  mutate,
  smallValues,
  unlistable,
} from './broken/mutation.ts'
import { atomicity } from './broken/operations/atomicity.ts'
import { counters } from './broken/operations/counters.ts'
import { listing } from './broken/operations/listing.ts'
import { readsAndWrites } from './broken/operations/reads-and-writes.ts'
import { sharing } from './broken/operations/sharing.ts'

// On the system clock, a case measures until the machine lets it look in time, and a store that hangs fails by a timeout.
vi.setConfig({ testTimeout: 300_000 })

/** Each name describes the defect of the store. */
const brokenStores: BrokenStores = {
  ...readsAndWrites,
  ...atomicity,
  ...counters,
  ...expiry,
  ...keysAndValues,
  ...limits,
  ...listing,
  ...sharing,
  ...order,
  ...lifecycleAndErrors,
  ...leases,
  ...staleValues,
  ...parts,
  ...tags,
  ...changes,
  ...locks,
  ...rateLimits,
}

/** Defects that show only after days, by a single millisecond, or in a case that runs on an exact clock only. */
const invisibleOnRealClock = new Set([
  'touch never finds the mark of a change',
  'compareAndSet keeps the expiry of a mark',
  'ttls are a millisecond too short',
  'ttls are a millisecond too long',
  'ttls beyond 30 days never expire',
  'items without a ttl expire after a day',
  'ttls beyond 20 days are ignored',
  'touch does not extend an item',
])

interface Time extends Pick<ConformanceContext, 'wait' | 'exact'> {
  readonly clock: Clock
}

function manualTime(): Time {
  const clock = new ManualClock()
  return { clock, wait: (ms) => clock.advance(ms), exact: true }
}

const realTime: Time = { clock: systemClock, wait: async (ms) => sleep(ms) }

/** A context without a store. */
interface Context extends Omit<ConformanceContext, 'store'> {
  readonly createStore: () => ByteStore
}

/** The name of the first case of the group that fails. */
async function firstFailure(
  group: ConformanceGroup,
  contextOf: () => Context,
): Promise<string | undefined> {
  for (const { name, run } of conformance.filter((each) => each.group === group)) {
    const context = contextOf()
    try {
      await run({ ...context, store: context.createStore() })
    } catch {
      return name
    }
  }
  return undefined
}

/** The same for a store with a defect. The stores of a case share their items. */
function failureOf([group, mutation, options]: BrokenStore, { clock, ...time }: Time) {
  return firstFailure(group, () => {
    const items = new Map<string, StoredItem>()
    return { ...time, createStore: () => mutate(mutation, { clock, items, ...options }) }
  })
}

describe('a group fails for a store with a defect', () => {
  for (const [name, broken] of Object.entries(brokenStores)) {
    test(`${broken[0]}: ${name}`, async () => {
      expect(await failureOf(broken, manualTime())).toBeDefined()
    })
  }
})

if (isFullTier) {
  describe.concurrent('a group fails for a store with a defect on the system clock', () => {
    for (const [name, broken] of Object.entries(brokenStores)) {
      if (invisibleOnRealClock.has(name)) continue
      test.concurrent(`${broken[0]}: ${name}`, async () => {
        expect(await failureOf(broken, realTime)).toBeDefined()
      })
    }
  })
}

/** The cases that do not find the defect of a store. */
async function passing(
  cases: readonly ConformanceCase[],
  [, mutation, options]: BrokenStore,
): Promise<ConformanceCase[]> {
  const outcomes = await Promise.allSettled(
    cases.map(async ({ run }) => {
      const { clock, ...time } = manualTime()
      const items = new Map<string, StoredItem>()
      const createStore = () => mutate(mutation, { clock, items, ...options })
      await run({ ...time, createStore, store: createStore() })
    }),
  )
  return cases.filter((_, index) => outcomes[index]?.status === 'fulfilled')
}

describe.concurrent('every rule fails for a store with a defect', () => {
  for (const stores of [leases, staleValues, parts, tags, changes, locks, rateLimits]) {
    const broken = Object.values(stores)
    const [group] = broken[0] as BrokenStore
    test.concurrent(group, async () => {
      let untested = conformance.filter((each) => each.group === group)
      for (const store of broken) untested = await passing(untested, store)
      expect(untested.map(({ name }) => name)).toEqual([])
    })
  }
})

// The reference store itself is tested in conformance.test.ts, also with such limits.
describe('every group passes for a store without a defect', () => {
  for (const options of isFullTier ? [{}, smallValues, coarseTtls, unlistable] : [{}]) {
    for (const group of new Set(conformance.map((each) => each.group))) {
      test(`${group} ${JSON.stringify(options)}`, async () => {
        const sound: BrokenStore = [group, () => ({}), options]
        expect(await failureOf(sound, manualTime())).toBeUndefined()
      })
    }
  }
})

describe.concurrent('during an outage', () => {
  const times = { manual: manualTime, ...(isFullTier && { system: () => realTime }) }
  const kinds = ['refuses', 'freezes'] as const
  for (const [clockName, timeOf] of Object.entries(times)) {
    const failureWith = ([kind, create, options]: BrokenOutage) =>
      firstFailure('outage', () => {
        const { clock, ...time } = timeOf()
        const backend = new Backend(kind, { clock, ...options })
        const hooks = { breakBackend: backend.break, restoreBackend: backend.restore, deadlineMs }
        return { ...time, ...hooks, createStore: () => create(backend) }
      })

    for (const [name, broken] of Object.entries(outages)) {
      test.concurrent(`the group fails on the ${clockName} clock: ${name}`, async () => {
        expect(await failureWith(broken)).toBeDefined()
      })
    }
    for (const [kind, options] of kinds.flatMap((kind) =>
      [{}, unlistable].map((options) => [kind, options] as const),
    )) {
      const name = `a backend that ${kind}, ${JSON.stringify(options)}`
      test.concurrent(`the group passes on the ${clockName} clock: ${name}`, async () => {
        expect(await failureWith([kind, createSound, options])).toBeUndefined()
      })
    }
  }
})
