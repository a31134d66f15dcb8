import KeyvRedis from '@keyv/redis'
import { Redis } from 'ioredis'
import { Keyv } from 'keyv'
import { RedisStore } from 'rate-limit-redis'
import redisDriver from 'unstorage/drivers/redis'
import { hourMs } from '../../lib/workloads/dataset.mjs'
import { withStores } from './libraries.mjs'

/** Each library with its own store for Redis. */
export async function redis({ url }) {
  const client = new Redis(url)
  const nest = new Keyv({ store: new KeyvRedis(url), namespace: 'nest' })
  const keyv = new KeyvRedis(url)
  const driver = redisDriver({ url, base: 'unstorage', ttl: hourMs / 1_000 })
  const limits = new RedisStore({
    prefix: 'limits:',
    sendCommand: (command, ...args) => client.call(command, ...args),
  })
  return withStores({
    ...{ nest, nestInMemory: new Keyv(), keyv, driver, limits },
    close: () =>
      Promise.all([nest.disconnect(), keyv.disconnect(), driver.dispose(), client.quit()]),
  })
}
