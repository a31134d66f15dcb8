/**
 * `@stowage/core/tools`: what command lines, checks, metrics and tracers need, in addition to `@stowage/core`. It is as
 * stable as the main entry point.
 */

export { checkBackend, inspectKey, storeUsage } from './cache-access.ts'
export type { EnvReport, RoleReport } from './configuration/environment/caches-from-env.ts'
export type { UnreadVariable } from './configuration/environment/unread-variables.ts'
export type {
  BackendReport,
  CheckOptions,
  Finding,
  ServerReport,
  StoreDiagnostics,
  StoreUsage,
} from './diagnostics.ts'
export type { InspectedState, Inspection, PayloadFrame } from './inspection/inspection.ts'
export { type CallerContext, carryCallers } from './tracing/requests.ts'
