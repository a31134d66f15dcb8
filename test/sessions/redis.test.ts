import { isFullTier } from '@stowage/test-servers'
import { sessionRaces } from './cases/races.ts'

sessionRaces('redis', isFullTier ? [1, 4] : [4])
