import { sessionRaces } from './cases/races.ts'

sessionRaces('dynamodb')
