import type { ByteStore } from '@stowage/core'
import { type ConformanceGroup, conformance } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { atomicity } from './broken/atomicity.ts'
import { counters } from './broken/counters.ts'
import { expiry } from './broken/expiry.ts'
import { keysAndValues } from './broken/keys-and-values.ts'
import { lifecycleAndErrors } from './broken/lifecycle-and-errors.ts'
import { limits } from './broken/limits.ts'
import { listing } from './broken/listing.ts'
import { type BrokenStores, clock, coarseTtls, mutate, smallValues } from './broken/mutation.ts'
import { readsAndWrites } from './broken/reads-and-writes.ts'

/** Each name describes the defect of the store. */
const brokenStores: BrokenStores = {
  ...readsAndWrites,
  ...atomicity,
  ...counters,
  ...expiry,
  ...keysAndValues,
  ...limits,
  ...listing,
  ...lifecycleAndErrors,
}

/** The name of the first case of the group that fails. */
async function firstFailure(
  group: ConformanceGroup,
  createStore: () => ByteStore,
): Promise<string | undefined> {
  const wait = (ms: number) => clock.advance(ms)
  for (const { name, run } of conformance.filter((each) => each.group === group)) {
    try {
      await run({ store: createStore(), wait, exact: true })
    } catch {
      return name
    }
  }
  return undefined
}

describe('a group fails for a store with a defect', () => {
  for (const [name, [group, mutation, options]] of Object.entries(brokenStores)) {
    test(`${group}: ${name}`, async () => {
      expect(await firstFailure(group, () => mutate(mutation, options))).toBeDefined()
    })
  }
})

describe('every group passes for a store without a defect', () => {
  for (const options of [{}, smallValues, coarseTtls]) {
    for (const group of new Set(conformance.map((each) => each.group))) {
      test(`${group} ${JSON.stringify(options)}`, async () => {
        expect(await firstFailure(group, () => mutate(() => ({}), options))).toBeUndefined()
      })
    }
  }
})
