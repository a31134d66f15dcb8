import { rateLimitStore } from '@stowage/bridges/express-rate-limit'
import { keyvStore } from '@stowage/bridges/keyv'
import { nestStore } from '@stowage/bridges/nest'
import { unstorageDriver } from '@stowage/bridges/unstorage'
import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { redis as redisStore } from '@stowage/redis'
import { hourMs } from '../../lib/workloads/dataset.mjs'
import { withStores } from './libraries.mjs'

/** Each library with its bridge to one cache. A long deadline, so that a busy machine does not end the run. */
export function redis({ url }) {
  const cache = new Cache(redisStore({ url, timeout: '10s' }), { prefix: 'app:', ttl: hourMs })
  return withStores({
    nest: nestStore(cache.namespace('nest')),
    nestInMemory: nestStore(new Cache(memory(), { ttl: hourMs })),
    keyv: keyvStore(cache.namespace('keyv')),
    driver: unstorageDriver(cache.namespace('unstorage')),
    limits: rateLimitStore(cache, 'limits'),
    close: () => cache.close(),
  })
}
