import { Redis } from 'ioredis'
import { RedisStore } from 'rate-limit-redis'
import { limit, lockMs, windowMs } from '../../lib/workloads/limits.mjs'

const release = `if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0`

/** rate-limit-redis on ioredis, called directly, and a lock written by hand. */
export async function redis({ url }) {
  const client = new Redis(url)
  client.defineCommand('release', { numberOfKeys: 1, lua: release })
  const store = new RedisStore({
    prefix: 'raw:',
    sendCommand: (command, ...args) => client.call(command, ...args),
  })
  await store.init({ windowMs })
  return {
    consume: async (key) => (await store.increment(key)).totalHits <= limit,
    lock: async (key, owner) => {
      const isAcquired = (await client.set(key, owner, 'PX', lockMs, 'NX')) === 'OK'
      await client.release(key, owner)
      return isAcquired
    },
    close: () => client.quit(),
  }
}
