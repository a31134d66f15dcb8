export { default, memory } from './memory-driver.ts'
export type { MemoryOptions } from './memory-options.ts'
