import { Cache } from '@stowage/core'
import { redis as redisStore } from '@stowage/redis'
import { limit, lockMs, windowMs } from '../../lib/workloads/limits.mjs'

export const fixed = ({ url }) => open(url, 'fixed')
export const sliding = ({ url }) => open(url, 'sliding')
export const bucket = ({ url }) => open(url, 'bucket')

function open(url, policy) {
  const cache = new Cache(redisStore({ url }), { prefix: 'app:' })
  const limiter = cache.rateLimit('requests', { limit, window: windowMs, policy })
  return {
    consume: async (key) => (await limiter.consume(key)).allowed,
    lock: async (key) => {
      const lock = cache.lock(key, { ttl: lockMs })
      const isAcquired = await lock.acquire()
      await lock.release()
      return isAcquired
    },
    close: () => cache.close(),
  }
}
