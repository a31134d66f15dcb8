import { redis as redisStore } from '@stowage/redis'
import { cacheOver } from './cache.mjs'

export const redis = ({ url }) => cacheOver(redisStore({ url }))
