import KeyvRedis from '@keyv/redis'
import { createCache } from 'cache-manager'
import { Keyv } from 'keyv'
import { freshMs, staleMs } from './staleness.mjs'

export function redis({ url }) {
  const cache = createCache({
    stores: [new Keyv({ store: new KeyvRedis(url) })],
    ttl: freshMs + staleMs,
    // A value with a shorter remaining ttl is refreshed in the background.
    refreshThreshold: staleMs,
  })
  const remember = (key, load) => cache.wrap(key, load)
  return { remember, rememberStale: remember, close: () => cache.disconnect() }
}
