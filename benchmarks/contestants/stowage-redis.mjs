import { redis as store } from '@stowage/redis'
import { stowage } from './stowage.mjs'

export const redis = (url) => stowage(store({ url }))
