import { rememberAcrossProcesses } from './across-processes.ts'

rememberAcrossProcesses('redis', { sizes: [4, 16] })
