import KeyvRedis from '@keyv/redis'
import { Cacheable } from 'cacheable'
import { hourMs } from '../../lib/workloads/dataset.mjs'

/** In the process, in front of Redis. */
export function twoTier({ url }) {
  const cache = new Cacheable({ secondary: new KeyvRedis(url), ttl: hourMs })
  return {
    get: (key) => cache.get(key),
    set: (key, value) => cache.set(key, value),
    getMany: (keys) => cache.getMany(keys),
    remember: (key, load) => cache.getOrSet(key, load),
    close: () => cache.disconnect(),
  }
}
