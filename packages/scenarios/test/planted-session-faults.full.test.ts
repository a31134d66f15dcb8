import { sessionsWith } from '@stowage/scenarios'
import { simulate } from '@stowage/testing/simulation'
import { expect, test, vi } from 'vitest'
import { sessionFaults } from './faults/session-faults.ts'
import { mutantOfSessions } from './mutant.ts'

// A search is the same on every machine, but how long it takes is not.
vi.setConfig({ testTimeout: 600_000 })

for (const [name, change, calls] of sessionFaults) {
  test(`finds that ${name}`, async () => {
    const { Sessions } = await mutantOfSessions([change])
    const length = calls !== undefined && { maxCalls: calls }
    const options = { seeds: 10_000, shrinkMs: 100, ...length }
    expect((await simulate(sessionsWith(Sessions), options))?.problem).toBeDefined()
  })
}
