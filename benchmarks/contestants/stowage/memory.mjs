import { failover } from '@stowage/core'
import { memory } from '@stowage/memory'
import { cacheContestant } from './cache.mjs'

export const shared = () => cacheContestant(memory({ values: 'shared' }))
export const bytes = () => cacheContestant(memory({ values: 'bytes' }))
/** With another store behind it, which is never used. */
export const withFallback = () =>
  cacheContestant(failover([memory({ values: 'bytes' }), memory({ values: 'bytes' })]))
