import { lazyContestant } from '../contestants/lazy-contestant.mjs'
import { startRedis } from '../lib/servers/redis-server.mjs'
import { bridgeWorkloads, checkBridges, fillBridges } from '../lib/workloads/bridges.mjs'

/** Other libraries with the bridges of Stowage. `raw` is each library with the store that it is usually given. */
export default {
  server: { start: startRedis },
  contestants: {
    raw: lazyContestant('bridges/own-stores', 'redis'),
    stowage: lazyContestant('bridges/stowage', 'redis'),
  },
  workloads: () =>
    bridgeWorkloads([
      { library: 'cache-manager', operation: 'get', inFlight: 64, minRatio: 3 },
      { library: 'cache-manager', operation: 'get', inFlight: 1 },
      { library: 'cache-manager in memory', operation: 'get', inFlight: 1, minRatio: 3 },
      { library: 'keyv', operation: 'get', inFlight: 64, minRatio: 1 },
      { library: 'keyv', operation: 'get', inFlight: 1, minRatio: 1 },
      { library: 'unstorage', operation: 'getMany', inFlight: 1, minRatio: 1.5 },
      { library: 'unstorage driver', operation: 'getMany', inFlight: 1, minRatio: 1.5 },
      { library: 'unstorage', operation: 'get', inFlight: 64 },
      { library: 'express-rate-limit', operation: 'increment', inFlight: 64, minRatio: 1 },
      { library: 'express-rate-limit', operation: 'increment', inFlight: 1, minRatio: 1 },
    ]),
  prepare: fillBridges,
  check: checkBridges,
}
