import KeyvRedis from '@keyv/redis'
import { Keyv } from 'keyv'
import { hourMs } from '../../lib/workloads/dataset.mjs'

export const memory = () => contestant(new Keyv({ ttl: hourMs }))
export const redis = ({ url }) => contestant(new Keyv({ store: new KeyvRedis(url), ttl: hourMs }))

function contestant(cache) {
  return {
    get: (key) => cache.get(key),
    set: (key, value) => cache.set(key, value),
    getMany: (keys) => cache.getMany(keys),
    close: () => cache.disconnect(),
  }
}
