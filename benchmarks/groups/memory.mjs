import { contestant } from '../contestants/contestant.mjs'
import { users } from '../lib/workloads/dataset.mjs'
import { checkHits, fill, keyValueWorkloads } from '../lib/workloads/key-value.mjs'

/** In-process caches. `raw` returns references; `raw-json` is the baseline for caches that return copies. */
export default {
  contestants: {
    raw: contestant('caches/map', 'references'),
    'raw-json': contestant('caches/map', 'jsonText'),
    'lru-cache': contestant('caches/lru-cache', 'memory'),
    stowage: contestant('stowage/memory', 'shared'),
    'stowage-bytes': contestant('stowage/memory', 'bytes'),
  },
  peers: {
    'async-cache-dedupe': contestant('caches/async-cache-dedupe', 'memory'),
    bentocache: contestant('caches/bentocache', 'memory'),
    'cache-manager': contestant('caches/cache-manager', 'memory'),
    keyv: contestant('caches/keyv', 'memory'),
    unstorage: contestant('caches/unstorage', 'memory'),
  },
  comparedToRawJson: ['stowage-bytes', 'bentocache', 'keyv', 'unstorage'],
  workloads: () =>
    keyValueWorkloads(
      users,
      ['get', 'set', 'getMany', 'rememberHit'].map((name) => ({ name, inFlight: 1 })),
    ),
  prepare: fill(users),
  check: checkHits(users),
}
