import { redis as redisStore } from '@stowage/redis'
import { cacheContestant } from './cache.mjs'

export const redis = ({ url }) => cacheContestant(redisStore({ url }))
