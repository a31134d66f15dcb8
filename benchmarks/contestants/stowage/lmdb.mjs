import { lmdb as store } from '@stowage/lmdb'
import { cacheContestant } from './cache.mjs'

export const lmdb = ({ path }) => cacheContestant(store({ path }))
