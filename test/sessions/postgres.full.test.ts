import { sessionRaces } from './cases/races.ts'

sessionRaces('postgres')
