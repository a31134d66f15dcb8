import { rememberAcrossProcesses } from './across-processes.ts'

rememberAcrossProcesses('memcached', { sizes: [4, 16] })
