import { lazyContestant } from '../contestants/lazy-contestant.mjs'
import { startRedis } from '../lib/servers/redis-server.mjs'
import { flags, users } from '../lib/workloads/dataset.mjs'
import { checkHits, fill, keyValueWorkloads } from '../lib/workloads/key-value.mjs'

/** Clients and caches on a Redis server. `raw` is ioredis with JSON. */
export default {
  server: { start: startRedis },
  contestants: {
    raw: lazyContestant('clients/ioredis', 'redis'),
    'node-redis': lazyContestant('clients/node-redis', 'redis'),
    'node-redis-no-deadline': lazyContestant('clients/node-redis', 'withoutDeadline'),
    minimal: lazyContestant('clients/redis-minimal', 'redis'),
    stowage: lazyContestant('stowage/redis', 'redis'),
    'stowage-tagged': lazyContestant('stowage/redis', 'tagged'),
    'stowage-failover': lazyContestant('stowage/redis', 'withFallback'),
  },
  peers: {
    'async-cache-dedupe': lazyContestant('caches/async-cache-dedupe', 'redis'),
    bentocache: lazyContestant('caches/bentocache', 'redis'),
    'cache-manager': lazyContestant('caches/cache-manager', 'redis'),
    keyv: lazyContestant('caches/keyv', 'redis'),
    unstorage: lazyContestant('caches/unstorage', 'redis'),
  },
  workloads: ({ quick }) => [
    ...keyValueWorkloads(flags, plan({ quick, get256: 4.5, get32: 2.2, set256: 5, set32: 1.7 })),
    ...keyValueWorkloads(users, plan({ quick, get256: 2.8, get32: 1.7, set256: 2.2, set32: 2 })),
  ],
  prepare: fill(flags, users),
  check: checkHits(flags, users),
}

/** The other members are the minimum ratios of `get` and `set` with many calls in flight. */
function plan({ quick, get256, get32, set256, set32 }) {
  const measured = [
    { name: 'get', inFlight: 256, minRatio: get256, maxP99Ratio: 1 },
    { name: 'get', inFlight: 32, minRatio: get32 },
    { name: 'get', inFlight: 1, minRatio: 0.95 },
    { name: 'set', inFlight: 256, minRatio: set256, maxP99Ratio: 1 },
    { name: 'set', inFlight: 32, minRatio: set32 },
    { name: 'set', inFlight: 1, minRatio: 0.95 },
    ...(quick ? [] : [{ name: 'getMany', inFlight: 32 }]),
    { name: 'getMany', inFlight: 1, minRatio: 1.3 },
    { name: 'rememberHit', inFlight: 256, minTaggedRatio: 0.9 },
    { name: 'rememberHit', inFlight: 32, minTaggedRatio: 0.9 },
    { name: 'rememberHit', inFlight: 1, minTaggedRatio: 0.9 },
  ].map((entry) => ({ ...entry, fastest: true }))
  // Shows the work of both sides only: on one CPU, client and server never wait for the other to wake up.
  const sameCpu = ['get', 'set'].map((name) => ({
    name,
    inFlight: 1,
    sameCpu: true,
    minRatio: 0.97,
  }))
  return [...measured, ...sameCpu]
}
