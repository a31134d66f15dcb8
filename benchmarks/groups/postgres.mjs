import { lazyContestant } from '../contestants/lazy-contestant.mjs'
import { startPostgres } from '../lib/servers/postgres-server.mjs'
import { users } from '../lib/workloads/dataset.mjs'
import { checkHits, fill, keyValueWorkloads } from '../lib/workloads/key-value.mjs'

/** Caches on a PostgreSQL server. `raw` is a pool of pg with prepared statements and JSON. */
export default {
  server: { start: startPostgres },
  contestants: {
    raw: lazyContestant('clients/pg', 'postgres'),
    stowage: lazyContestant('stowage/postgres', 'postgres'),
  },
  workloads: () =>
    keyValueWorkloads(users, [
      { name: 'get', inFlight: 256, minRatio: 5 },
      { name: 'get', inFlight: 32, minRatio: 2.5 },
      { name: 'get', inFlight: 1, minRatio: 0.95 },
      { name: 'set', inFlight: 256, minRatio: 8 },
      { name: 'set', inFlight: 32 },
      { name: 'set', inFlight: 1 },
      { name: 'getMany', inFlight: 1, minRatio: 1 },
      { name: 'rememberHit', inFlight: 32 },
    ]),
  prepare: fill(users),
  check: checkHits(users),
}
