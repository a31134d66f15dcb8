import { sessionRaces } from './cases/races.ts'

sessionRaces('memory', [1])
