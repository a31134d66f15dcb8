import { sessionRaces } from './cases/races.ts'

sessionRaces('redis-cluster')
