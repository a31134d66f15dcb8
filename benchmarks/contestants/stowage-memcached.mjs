import { memcached as store } from '@stowage/memcached'
import { stowage } from './stowage.mjs'

export const memcached = (servers) => stowage(store({ servers }))
