import { lazyContestant } from '../contestants/lazy-contestant.mjs'
import { startRedisAndMemcached } from '../lib/servers/redis-and-memcached.mjs'
import { flags } from '../lib/workloads/dataset.mjs'
import { httpWarmUpMs, httpWorkloads } from '../lib/workloads/http.mjs'
import { checkHits, fill } from '../lib/workloads/key-value.mjs'

const name = 'http/key-value'

/** Calls that come from the requests of HTTP connections. An operation is a request. `raw` is ioredis with JSON. */
export default {
  server: { start: startRedisAndMemcached },
  contestants: {
    raw: lazyContestant(name, 'ioredis'),
    'node-redis': lazyContestant(name, 'nodeRedis'),
    'node-redis-no-deadline': lazyContestant(name, 'nodeRedisNoDeadline'),
    minimal: lazyContestant(name, 'minimalRedis'),
    stowage: lazyContestant(name, 'stowageRedis'),
    'no-store': lazyContestant(name, 'noStore'),
    memjs: lazyContestant(name, 'memjs'),
    'stowage-memcached': lazyContestant(name, 'stowageMemcached'),
  },
  workloads: () =>
    httpWorkloads([
      { name: 'get', path: '/get', inFlight: 32, maxCpuRatio: 0.8, maxCommands: 0.15 },
      { name: 'get + set', path: '/update', inFlight: 32, maxCpuRatio: 0.8 },
      { name: 'get', path: '/get', inFlight: 1, maxP50Ratio: 1.03 },
      { name: 'get + set', path: '/update', inFlight: 1, maxP50Ratio: 1.03 },
    ]),
  prepare: fill(flags),
  check: checkHits(flags),
  durationFactor: 3,
  warmUpMs: httpWarmUpMs,
}
