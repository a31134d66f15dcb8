/** `@stowage/testing/simulation`: caches in a simulated world, in virtual time and under faults. */

export { default as fc } from 'fast-check'
export type { BackendTraits } from './backend/backend.ts'
export type { SentRequest } from './backend/network.ts'
export { ReplicationProgress } from './backend/replication-progress.ts'
export { facade, facadeProgram, judgeFacade } from './facade/facade.ts'
export type { FacadeCall } from './facade/facade-calls.ts'
export { linearize, type Operation, type Violation } from './facade/linearizability.ts'
export {
  type ClockStep,
  type History,
  type HistoryEntry,
  isAcknowledged,
  type Loss,
  type NodeChange,
  type Outcome,
  resultOf,
} from './programs/history.ts'
export {
  type FaultKind,
  faultsOfFixedNodes,
  type JudgeContext,
  type ProcessContext,
  type Program,
  type Scenario,
} from './programs/scenario.ts'
export {
  type Plan,
  type PlannedCall,
  type PlannedFault,
  type PlanOptions,
  plans,
} from './run/plan.ts'
export { runOnStores } from './run/run-on-stores.ts'
export { type Parts, type RunResult, runPlan } from './run/run-plan.ts'
export {
  type Failure,
  planOf,
  report,
  type SimulateOptions,
  simulate,
  simulateSeed,
} from './run/simulate.ts'
