export type { ConformanceCase, ConformanceGroup } from './case.ts'
export { type ConformanceOptions, conform, conformance, type TestFunction } from './conform.ts'
export type { ConformanceContext } from './context.ts'
