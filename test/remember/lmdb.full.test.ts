import { rememberAcrossProcesses } from './across-processes.ts'

rememberAcrossProcesses('lmdb', { clocksDiffer: false })
