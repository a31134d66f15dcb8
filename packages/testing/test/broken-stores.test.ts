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
import { coarse, mutate, type Row, small, wait } from './broken/mutation.ts'
import { readsAndWrites } from './broken/reads-and-writes.ts'

/** Each name says what is wrong with a store, in one rule; its group must notice. */
const broken: Record<string, Row> = {
  ...readsAndWrites,
  ...atomicity,
  ...counters,
  ...expiry,
  ...keysAndValues,
  ...limits,
  ...listing,
  ...lifecycleAndErrors,
}

/** The first case of the group that fails. */
async function firstFailing(
  group: ConformanceGroup,
  create: () => ByteStore,
): Promise<string | undefined> {
  for (const each of conformance.filter((one) => one.group === group)) {
    try {
      await each.run({ store: create(), wait, exact: true })
    } catch {
      return each.name
    }
  }
  return undefined
}

describe('the kit notices', () => {
  for (const [name, [group, mutation, options]] of Object.entries(broken)) {
    test(`${group}: ${name}`, async () => {
      expect(await firstFailing(group, () => mutate(mutation, options))).toBeDefined()
    })
  }
})

describe('the kit is content with a store that is not broken', () => {
  for (const options of [{}, small, coarse]) {
    for (const group of new Set(conformance.map((each) => each.group))) {
      test(`${group} ${JSON.stringify(options)}`, async () => {
        expect(await firstFailing(group, () => mutate(() => ({}), options))).toBeUndefined()
      })
    }
  }
})
