export {
  type ConformanceOptions,
  conform,
  conformance,
  contractVersion,
  type TestFunction,
} from './conform.ts'
export type { ConformanceCase, ConformanceGroup } from './support/case.ts'
export type { ConformanceContext } from './support/context.ts'
