import { responseCases } from './cases/responses.ts'

responseCases('redis-replicas')
