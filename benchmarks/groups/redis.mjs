import { checkHits, fill, keyValueWorkloads } from '../lib/key-value.mjs'
import { countRedisCommands, startRedis } from '../lib/redis-server.mjs'

/** Caches on a Redis server of their own, against the plain client with JSON. */
export default {
  server: { start: startRedis, countCommands: countRedisCommands },
  contestants: {
    raw: async ({ url }) => (await import('../contestants/ioredis.mjs')).redis(url),
    stowage: async ({ url }) => (await import('../contestants/stowage-redis.mjs')).redis(url),
  },
  peers: {
    'async-cache-dedupe': async ({ url }) =>
      (await import('../contestants/async-cache-dedupe.mjs')).redis(url),
    bentocache: async ({ url }) => (await import('../contestants/bentocache.mjs')).redis(url),
    'cache-manager': async ({ url }) =>
      (await import('../contestants/cache-manager.mjs')).redis(url),
    keyv: async ({ url }) => (await import('../contestants/keyv.mjs')).redis(url),
    unstorage: async ({ url }) => (await import('../contestants/unstorage.mjs')).redis(url),
  },
  workloads: ({ quick }) =>
    keyValueWorkloads({
      get: [1, 32, 256],
      set: [1, 32, 256],
      getMany: quick ? [1] : [1, 32],
      rememberHit: [1, 32, 256],
    }),
  prepare: fill,
  check: checkHits,
}
