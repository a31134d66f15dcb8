import { rememberAcrossProcesses } from './across-processes.ts'

rememberAcrossProcesses('redis-cluster')
