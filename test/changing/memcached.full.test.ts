import { changesAcrossProcesses } from './across-processes.ts'

changesAcrossProcesses('memcached')
