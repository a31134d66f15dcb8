import { lazyContestant } from '../contestants/lazy-contestant.mjs'
import { startRedisAndPostgres } from '../lib/servers/redis-and-postgres.mjs'
import { changeWorkloads, checkChange } from '../lib/workloads/changing.mjs'

/**
 * Transactions of PostgreSQL, and keys on a Redis server. `raw` deletes the keys with ioredis after the commit; `stowage-delete`
 * does the same with `deleteMany`.
 */
export default {
  server: { start: startRedisAndPostgres },
  contestants: {
    raw: lazyContestant('changing/after-commit', 'ioredis'),
    'stowage-delete': lazyContestant('changing/after-commit', 'stowage'),
    stowage: lazyContestant('changing/stowage', 'stowage'),
  },
  workloads: () =>
    changeWorkloads([
      { name: 'change', keys: 1, inFlight: 1 },
      { name: 'change', keys: 1, inFlight: 32 },
      { name: 'change', keys: 100, inFlight: 1 },
    ]),
  prepare: checkChange,
  check: checkChange,
}
