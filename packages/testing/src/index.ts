export {
  Chaos,
  type FailureOptions,
  type FaultOptions,
  type Operations,
  withChaos,
} from './chaos.ts'
export {
  ConfigurationEndpoint,
  type ConfigurationEndpointOptions,
  type ConfigurationReply,
  configurationEndpoint,
} from './configuration-endpoint.ts'
export {
  type ConformanceCase,
  type ConformanceContext,
  type ConformanceGroup,
  type ConformanceOptions,
  conform,
  conformance,
  contractVersion,
  type TestFunction,
} from './conformance/index.ts'
export { ManualClock } from './manual-clock.ts'
export {
  findPlantedDefects,
  type PlantedDefect,
  type PlantedDefectReport,
  plantedDefects,
} from './planted-defects.ts'
export {
  ReferenceStore,
  type ReferenceStoreOptions,
  referenceStore,
  type StoredItem,
} from './reference-store.ts'
