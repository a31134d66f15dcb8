import { memory } from '@stowage/memory'
import { cacheOver } from './cache.mjs'

export const shared = () => cacheOver(memory({ values: 'shared' }))
export const bytes = () => cacheOver(memory())
