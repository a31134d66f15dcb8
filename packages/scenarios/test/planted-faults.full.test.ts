import { report, simulate } from '@stowage/testing/simulation'
import { expect, test, vi } from 'vitest'
import { coreFaults } from './faults/core-faults.ts'
import { withForeignIds } from './faults/generation-faults.ts'
import { mutantOf } from './mutant.ts'

// A search is the same on every machine, but how long it takes is not.
vi.setConfig({ testTimeout: 600_000 })

test('finds nothing where a copy of an id contains a foreign value', async () => {
  const failure = await simulate(withForeignIds, { seeds: 200 })
  expect(failure && report(failure)).toBeUndefined()
})

test.each(coreFaults)(
  'finds that $name',
  async ({ scenario, changes, parts = {}, firstSeed: seed, calls }) => {
    const mutant = changes === undefined ? undefined : await mutantOf(changes)
    const replaced = mutant && { Cache: mutant.Cache, failover: mutant.failover, memo: mutant.memo }
    const length = calls !== undefined && { minCalls: calls, maxCalls: calls }
    const options = {
      seed,
      seeds: 10_000,
      shrinkMs: 100,
      parts: { ...parts, ...replaced },
      ...length,
    }
    expect((await simulate(scenario, options))?.problem).toBeDefined()
  },
)
