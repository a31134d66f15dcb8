export { Chaos, type Failure, type Occurrence, type Operations, withChaos } from './chaos.ts'
export {
  type ConfigurationAnswer,
  ConfigurationEndpoint,
  type ConfigurationEndpointOptions,
  configurationEndpoint,
} from './configuration-endpoint.ts'
export {
  type ConformanceCase,
  type ConformanceContext,
  type ConformanceGroup,
  type ConformanceOptions,
  conform,
  conformance,
  type TestFunction,
} from './conformance/index.ts'
export { ManualClock } from './manual-clock.ts'
export {
  type ReferenceOptions,
  type ReferenceSlot,
  ReferenceStore,
  referenceStore,
} from './reference-store.ts'
