import { lazyContestant } from '../contestants/lazy-contestant.mjs'
import { users } from '../lib/workloads/dataset.mjs'
import { checkHits, fill, keyValueWorkloads } from '../lib/workloads/key-value.mjs'

/** In-process caches. `raw` returns references; `raw-json` is the baseline for caches that return copies. */
export default {
  contestants: {
    raw: lazyContestant('caches/map', 'references'),
    'raw-json': lazyContestant('caches/map', 'jsonText'),
    'lru-cache': lazyContestant('caches/lru-cache', 'memory'),
    stowage: lazyContestant('stowage/memory', 'shared'),
    'stowage-bytes': lazyContestant('stowage/memory', 'bytes'),
    'stowage-failover': lazyContestant('stowage/memory', 'withFallback'),
  },
  peers: {
    'async-cache-dedupe': lazyContestant('caches/async-cache-dedupe', 'memory'),
    bentocache: lazyContestant('caches/bentocache', 'memory'),
    'cache-manager': lazyContestant('caches/cache-manager', 'memory'),
    keyv: lazyContestant('caches/keyv', 'memory'),
    unstorage: lazyContestant('caches/unstorage', 'memory'),
  },
  comparedToRawJson: ['stowage-bytes', 'stowage-failover', 'bentocache', 'keyv', 'unstorage'],
  workloads: () =>
    keyValueWorkloads(
      users,
      ['get', 'set', 'getMany', 'rememberHit'].map((name) => ({ name, inFlight: 1 })),
    ),
  prepare: fill(users),
  check: checkHits(users),
}
