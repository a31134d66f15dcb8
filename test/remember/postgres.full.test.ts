import { rememberAcrossProcesses } from './across-processes.ts'

rememberAcrossProcesses('postgres')
