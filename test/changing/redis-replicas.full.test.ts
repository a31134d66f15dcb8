import { changesAcrossProcesses } from './across-processes.ts'

changesAcrossProcesses('redis-replicas')
