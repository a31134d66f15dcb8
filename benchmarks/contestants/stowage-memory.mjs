import { memory } from '@stowage/memory'
import { stowage } from './stowage.mjs'

export const shared = () => stowage(memory({ values: 'shared' }))
export const bytes = () => stowage(memory())
