import { changeFaults } from './change-faults.ts'
import { failoverFaults } from './failover-faults.ts'
import { generationFaults } from './generation-faults.ts'
import { loadFaults } from './load-faults.ts'
import { lockFaults } from './lock-faults.ts'
import { nearFaults } from './near-faults.ts'
import type { PlantedFault } from './planted-fault.ts'
import { tagFaults } from './tag-faults.ts'
import { writeFaults } from './write-faults.ts'

/** All defects of core that the simulation must find. */
export const coreFaults: readonly PlantedFault[] = [
  ...loadFaults,
  ...tagFaults,
  ...generationFaults,
  ...writeFaults,
  ...nearFaults,
  ...lockFaults,
  ...failoverFaults,
  ...changeFaults,
]
