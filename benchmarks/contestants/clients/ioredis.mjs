import { Redis } from 'ioredis'
import { hourMs } from '../../lib/workloads/dataset.mjs'
import { jsonRedisCache } from '../shared/json-redis-cache.mjs'

/** The client with its defaults. */
export function redis({ url }) {
  const client = new Redis(url)
  return jsonRedisCache({
    get: (key) => client.get(key),
    set: (key, text) => client.set(key, text, 'PX', hourMs),
    mget: (keys) => client.mget(keys),
    close: () => client.quit(),
  })
}
