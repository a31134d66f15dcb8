import { lazyContestant } from '../contestants/lazy-contestant.mjs'
import { startPostgres } from '../lib/servers/postgres-server.mjs'
import { httpWarmUpMs, httpWorkloads } from '../lib/workloads/http.mjs'

const name = 'http/postgres-sessions'

/** Express applications with a session of 1 KB in PostgreSQL. An operation is a request. `raw` is connect-pg-simple. */
export default {
  server: { start: startPostgres },
  contestants: {
    raw: lazyContestant(name, 'connectPg'),
    stowage: lazyContestant(name, 'stowage'),
  },
  workloads: () =>
    httpWorkloads([
      { name: 'read', path: '/read', inFlight: 32, minRatio: 1 },
      { name: 'write', path: '/write', inFlight: 32, minRatio: 1 },
      { name: 'read', path: '/read', inFlight: 1 },
    ]),
  async prepare() {},
  async check() {},
  durationFactor: 3,
  warmUpMs: httpWarmUpMs,
}
