import { changesAcrossProcesses } from './across-processes.ts'

changesAcrossProcesses('redis', { isCompared: true })
