import { isFullTier } from '@stowage/test-servers'
import { rememberAcrossProcesses } from './across-processes.ts'

rememberAcrossProcesses('redis', { sizes: isFullTier ? [4, 16] : [4] })
