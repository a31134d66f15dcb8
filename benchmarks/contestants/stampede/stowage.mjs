import { Cache } from '@stowage/core'
import { redis as redisStore } from '@stowage/redis'
import { hourMs } from '../../lib/workloads/dataset.mjs'
import { freshMs, staleMs } from './staleness.mjs'

export function redis({ url }) {
  const cache = new Cache(redisStore({ url }))
  const options = { ttl: freshMs, staleWhileRevalidate: staleMs }
  const remember = (key, load) => cache.remember(key, options, load)
  return {
    get: (key) => cache.get(key),
    set: (key, value) => cache.set(key, value, { ttl: hourMs }),
    remember,
    rememberStale: remember,
    close: () => cache.close(),
  }
}
