import { sessionRaces } from './cases/races.ts'

sessionRaces('memcached-one-node')
