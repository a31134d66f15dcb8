/** `@stowage/testing/simulation`: caches in a simulated world, in virtual time and under faults. */

export { default as fc } from 'fast-check'
export { ReplicationProgress } from './backend/replication-progress.ts'
export type { BackendTraits } from './backend/traits.ts'
export type { History, HistoryEntry, Loss, Outcome } from './judges/history.ts'
export { linearize, type Operation, type Violation } from './judges/registers/linearizability.ts'
export type {
  FaultKind,
  JudgeContext,
  ProcessContext,
  Program,
  Scenario,
} from './programs/scenario.ts'
export {
  type Plan,
  type PlannedCall,
  type PlannedFault,
  type PlanOptions,
  plans,
} from './run/plan.ts'
export { report } from './run/report.ts'
export { runOnStores } from './run/run-on-stores.ts'
export { type Parts, type RunResult, runPlan } from './run/run-plan.ts'
export {
  type Failure,
  planOf,
  type SimulateOptions,
  simulate,
  simulateSeed,
} from './run/simulate.ts'
export { facade } from './scenarios/facade/facade.ts'
export { scenarioNamed, scenarios } from './scenarios/index.ts'
