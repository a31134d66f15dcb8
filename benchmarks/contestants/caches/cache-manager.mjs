import KeyvRedis from '@keyv/redis'
import { createCache } from 'cache-manager'
import { Keyv } from 'keyv'
import { hourMs } from '../../lib/workloads/dataset.mjs'

export const memory = () => contestant(createCache({ ttl: hourMs }))
export const redis = ({ url }) =>
  contestant(createCache({ ttl: hourMs, stores: [new Keyv({ store: new KeyvRedis(url) })] }))

/** In the process, in front of Redis. */
export const twoTier = ({ url }) =>
  contestant(
    createCache({ ttl: hourMs, stores: [new Keyv(), new Keyv({ store: new KeyvRedis(url) })] }),
  )

function contestant(cache) {
  return {
    get: (key) => cache.get(key),
    set: (key, value) => cache.set(key, value),
    getMany: (keys) => cache.mget(keys),
    remember: (key, load) => cache.wrap(key, load),
    close: () => cache.disconnect(),
  }
}
