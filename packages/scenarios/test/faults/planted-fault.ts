import type { Parts, Scenario } from '@stowage/testing/simulation'
import type { Change } from '../mutant.ts'

/** A fix that is taken back, and the scenario that must notice. */
export interface PlantedFault {
  readonly name: string
  readonly scenario: Scenario
  readonly changes?: readonly Change[]
  readonly parts?: Parts
  /** Shortly before the first finding, to save time. If that moves, it is found within 10,000 seeds. @default 0 */
  readonly firstSeed?: number
  /** Calls of each run. @default as many as usual */
  readonly calls?: number
}
