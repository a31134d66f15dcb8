import { lazyContestant } from '../contestants/lazy-contestant.mjs'
import { startRedis } from '../lib/servers/redis-server.mjs'
import { users } from '../lib/workloads/dataset.mjs'
import { checkHits, fill, keyValueWorkloads } from '../lib/workloads/key-value.mjs'

/** Hits in the process, in front of Redis. `raw` is lru-cache alone. */
export default {
  server: { start: startRedis },
  contestants: {
    raw: lazyContestant('caches/lru-cache', 'memory'),
    stowage: lazyContestant('stowage/near', 'frozen'),
    'stowage-copied': lazyContestant('stowage/near', 'copied'),
  },
  peers: {
    bentocache: lazyContestant('caches/bentocache', 'twoTier'),
    'cache-manager': lazyContestant('caches/cache-manager', 'twoTier'),
    cacheable: lazyContestant('caches/cacheable', 'twoTier'),
  },
  workloads: () =>
    keyValueWorkloads(users, [
      { name: 'get', inFlight: 1, minRatio: 0.5 },
      { name: 'getMany', inFlight: 1 },
      { name: 'rememberHit', inFlight: 1 },
    ]),
  prepare: fill(users),
  check: checkHits(users),
}
