import { sessionRaces } from './cases/races.ts'

sessionRaces('redis-replicas')
