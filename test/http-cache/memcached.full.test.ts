import { responseCases } from './cases/responses.ts'

responseCases('memcached')
