import { rememberAcrossProcesses } from './across-processes.ts'

rememberAcrossProcesses('dynamodb')
