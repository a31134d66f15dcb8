import { failover } from '@stowage/core'
import { memory } from '@stowage/memory'
import { redis as redisStore } from '@stowage/redis'
import { cacheContestant, taggedCacheContestant } from './cache.mjs'

/** A long deadline, so that a busy machine does not end the run. */
const open = (url) => redisStore({ url, timeout: '10s' })

export const redis = ({ url }) => cacheContestant(open(url))
export const tagged = ({ url }) => taggedCacheContestant(open(url))

/** With another store behind it, which is never used. */
export const withFallback = ({ url }) => cacheContestant(failover([open(url), memory()]))
