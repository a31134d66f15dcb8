import { afterAll, beforeAll } from 'vitest'
import { Fleet } from '../remember/processes/fleet.mjs'
import { holderTests } from './cases/holders.ts'
import { limitTests } from './cases/limits.ts'
import { outageTests } from './cases/outage.ts'

/** Tests locks and limits in several processes that share a backend: one of `test/remember/processes/backends.mjs`. */
export function locksAcrossProcesses(backend: string): void {
  let fleet: Fleet
  beforeAll(async () => {
    fleet = await Fleet.start(backend)
    await fleet.processes(4)
  })
  afterAll(() => fleet?.stop())
  const started = () => fleet

  holderTests(started)
  limitTests(started)
  // The last ones: they stop the servers.
  outageTests(started)
}
