import { lazyContestant } from '../contestants/lazy-contestant.mjs'
import { startRedis } from '../lib/servers/redis-server.mjs'
import { checkLimits, limitWorkloads } from '../lib/workloads/limits.mjs'

/** Rate limits and locks on a Redis server. `raw` is rate-limit-redis on ioredis, and a lock written by hand. */
export default {
  server: { start: startRedis },
  contestants: {
    raw: lazyContestant('limits/rate-limit-redis', 'redis'),
    stowage: lazyContestant('limits/stowage', 'fixed'),
    'stowage-sliding': lazyContestant('limits/stowage', 'sliding'),
    'stowage-bucket': lazyContestant('limits/stowage', 'bucket'),
  },
  workloads: () =>
    limitWorkloads([
      { name: 'consume', inFlight: 256, minRatio: 1 },
      { name: 'consume', inFlight: 32, minRatio: 1 },
      { name: 'consume', inFlight: 1, minRatio: 1 },
      { name: 'lock', inFlight: 32 },
      { name: 'lock', inFlight: 1 },
    ]),
  prepare: checkLimits,
  check: checkLimits,
}
