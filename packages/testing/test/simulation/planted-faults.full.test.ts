import { report, simulate } from '@stowage/testing/simulation'
import { expect, test, vi } from 'vitest'
import { failoverFaults } from './faults/failover-faults.ts'
import { generationFaults, withForeignIds } from './faults/generation-faults.ts'
import { loadFaults } from './faults/load-faults.ts'
import { lockFaults } from './faults/lock-faults.ts'
import { nearFaults } from './faults/near-faults.ts'
import type { PlantedFault } from './faults/planted-fault.ts'
import { tagFaults } from './faults/tag-faults.ts'
import { writeFaults } from './faults/write-faults.ts'
import { mutantOf } from './mutant.ts'

// A search is the same on every machine, but how long it takes is not.
vi.setConfig({ testTimeout: 600_000 })

test('finds nothing where a copy of an id contains a foreign value', async () => {
  const failure = await simulate(withForeignIds, { seeds: 200 })
  expect(failure && report(failure)).toBeUndefined()
})

const faults: readonly PlantedFault[] = [
  ...loadFaults,
  ...tagFaults,
  ...generationFaults,
  ...writeFaults,
  ...nearFaults,
  ...lockFaults,
  ...failoverFaults,
]

test.each(faults)(
  'finds that $name',
  async ({ scenario, changes, parts = {}, firstSeed: seed, calls }) => {
    const mutant = changes === undefined ? undefined : await mutantOf(changes)
    const replaced = mutant && { Cache: mutant.Cache, failover: mutant.failover }
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
