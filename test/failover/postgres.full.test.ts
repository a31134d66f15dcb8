import { outageTests } from './outage-tests.ts'

outageTests('postgres')
