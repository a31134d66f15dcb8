export type {
  ConformanceCase,
  ConformanceContext,
  ConformanceGroup,
} from './case.ts'
export { type ConformanceOptions, conform, conformance, type TestFunction } from './conform.ts'
