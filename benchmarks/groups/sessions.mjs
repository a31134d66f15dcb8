import { lazyContestant } from '../contestants/lazy-contestant.mjs'
import { startRedis } from '../lib/servers/redis-server.mjs'
import { httpWarmUpMs, httpWorkloads } from '../lib/workloads/http.mjs'

const name = 'http/sessions'

/** Express applications with a session of 1 KB. An operation is a request. `raw` reads and writes it by hand. */
export default {
  server: { start: startRedis },
  contestants: {
    raw: lazyContestant(name, 'floor'),
    'connect-redis': lazyContestant(name, 'connectRedis'),
    MemoryStore: lazyContestant(name, 'memoryStore'),
    minimal: lazyContestant(name, 'minimal'),
    'minimal comparing': lazyContestant(name, 'minimalComparing'),
    stowage: lazyContestant(name, 'stowage'),
    'minimal session()': lazyContestant(name, 'minimalSession'),
    'stowage session()': lazyContestant(name, 'stowageSession'),
  },
  workloads: () =>
    httpWorkloads([
      { name: 'read', path: '/read', inFlight: 32 },
      { name: 'write', path: '/write', inFlight: 32 },
      { name: 'read', path: '/read', inFlight: 1 },
    ]),
  async prepare() {},
  async check() {},
  durationFactor: 3,
  warmUpMs: httpWarmUpMs,
}
