import { changesAcrossProcesses } from './across-processes.ts'

changesAcrossProcesses('postgres')
