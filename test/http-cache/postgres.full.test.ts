import { responseCases } from './cases/responses.ts'

responseCases('postgres')
