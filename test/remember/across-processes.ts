import { afterAll, beforeAll } from 'vitest'
import { clockTests } from './cases/clocks.ts'
import { failureTests } from './cases/failures.ts'
import { holderTests } from './cases/holders.ts'
import { invalidationTests } from './cases/invalidation.ts'
import { nestingTests } from './cases/nesting.ts'
import { staleTests } from './cases/stale.ts'
import { stampedeTests } from './cases/stampede.ts'
import { Fleet } from './processes/fleet.mjs'

export interface AcrossProcessesOptions {
  /** Numbers of processes that ask for one key at the same time. @default [4] */
  readonly sizes?: readonly number[]
  /** Whether the clocks of processes may differ. The processes of one machine share a clock. @default true */
  readonly clocksDiffer?: boolean
}

/** Tests `remember` in several processes that share a backend, which is one of those in `processes/backends.mjs`. */
export function rememberAcrossProcesses(
  backend: string,
  { sizes = [4], clocksDiffer = true }: AcrossProcessesOptions = {},
): void {
  let fleet: Fleet
  beforeAll(async () => {
    fleet = await Fleet.start(backend)
    await fleet.processes(Math.max(...sizes))
  })
  afterAll(() => fleet?.stop())
  const started = () => fleet

  stampedeTests(started, sizes)
  staleTests(started)
  holderTests(started)
  failureTests(started, Math.max(...sizes))
  nestingTests(started)
  invalidationTests(started)
  if (clocksDiffer) clockTests(started)
}
