import { objects, small } from '../lib/dataset.mjs'
import { checkHits, fill, keyValueWorkloads } from '../lib/key-value.mjs'
import { startRedis } from '../lib/redis-server.mjs'

/** Caches on a Redis server of their own, against the plain client with JSON. */
export default {
  server: { start: startRedis },
  contestants: {
    raw: async ({ url }) => (await import('../contestants/ioredis.mjs')).redis(url),
    'node-redis': async ({ url }) => (await import('../contestants/node-redis.mjs')).redis(url),
    'node-redis-no-deadline': async ({ url }) =>
      (await import('../contestants/node-redis.mjs')).withoutDeadline(url),
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
  workloads: ({ quick }) => [
    ...keyValueWorkloads(small, plan({ quick, get256: 3 })),
    ...keyValueWorkloads(objects, plan({ quick, get256: 2.6 })),
  ],
  prepare: fill(small, objects),
  check: checkHits(small, objects),
}

/** With the ratio to raw that each is to reach. */
function plan({ quick, get256 }) {
  const measured = [
    { name: 'get', inFlight: 256, atLeast: get256, p99AtMost: 1 },
    { name: 'get', inFlight: 32, atLeast: 2 },
    { name: 'get', inFlight: 1, atLeast: 0.95 },
    { name: 'set', inFlight: 256, atLeast: 2, p99AtMost: 1 },
    { name: 'set', inFlight: 32 },
    { name: 'set', inFlight: 1, atLeast: 0.95 },
    ...(quick ? [] : [{ name: 'getMany', inFlight: 32 }]),
    { name: 'getMany', inFlight: 1, atLeast: 1.2 },
    { name: 'rememberHit', inFlight: 256 },
    ...(quick ? [] : [{ name: 'rememberHit', inFlight: 32 }]),
    { name: 'rememberHit', inFlight: 1 },
  ].map((each) => ({ ...each, aheadOfOthers: true }))
  // All the work there is, on both sides, and no sleep in between.
  const sameCpu = ['get', 'set'].map((name) => ({ name, inFlight: 1, sameCpu: true }))
  return [...measured, ...sameCpu]
}
