import { sessionRaces } from './cases/races.ts'

sessionRaces('lmdb')
