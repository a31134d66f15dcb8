import { locksAcrossProcesses } from './across-processes.ts'

locksAcrossProcesses('postgres')
