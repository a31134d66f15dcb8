import { lazyContestant } from '../contestants/lazy-contestant.mjs'
import { startRedis } from '../lib/servers/redis-server.mjs'
import { httpWarmUpMs, httpWorkloads } from '../lib/workloads/http.mjs'

const name = 'http/responses'
const minRatios = [
  { contestant: 'stowage-redis', to: 'raw-redis', min: 0.85 },
  { contestant: 'stowage-redis-near', to: 'raw-redis', min: 1 },
]

/**
 * A route that responds with 10 KB of JSON, from 1000 URLs. An operation is a request. `raw` sends a prepared Buffer with
 * the same headers; `raw-redis` gets the Buffer with ioredis.
 */
export default {
  server: { start: startRedis },
  contestants: {
    raw: lazyContestant(name, 'prepared'),
    stowage: lazyContestant(name, 'stowageMemory'),
    'stowage-cached': lazyContestant(name, 'stowageCached'),
    'raw-redis': lazyContestant(name, 'handWrittenRedis'),
    'stowage-redis': lazyContestant(name, 'stowageRedis'),
    'stowage-redis-near': lazyContestant(name, 'stowageNear'),
    ocache: lazyContestant(name, 'ocache'),
  },
  workloads: () =>
    httpWorkloads([
      { name: 'hit', path: '/page', inFlight: 32, minRatio: 0.8, minToPeers: 2, minRatios },
      { name: 'hit', path: '/page', inFlight: 1, minRatio: 0.8, minRatios },
    ]),
  async prepare() {},
  async check() {},
  durationFactor: 3,
  warmUpMs: httpWarmUpMs,
}
