import { memory } from '@stowage/memory'
import { cacheContestant } from './cache.mjs'

export const shared = () => cacheContestant(memory({ values: 'shared' }))
export const bytes = () => cacheContestant(memory({ values: 'bytes' }))
