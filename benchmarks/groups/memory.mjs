import { objects } from '../lib/dataset.mjs'
import { checkHits, fill, keyValueWorkloads } from '../lib/key-value.mjs'

/** In-process caches against a Map. `raw` hands out references; `raw-json` is the floor of those that copy. */
export default {
  contestants: {
    raw: async () => (await import('../contestants/map.mjs')).references(),
    'raw-json': async () => (await import('../contestants/map.mjs')).jsonText(),
    'lru-cache': async () => (await import('../contestants/lru-cache.mjs')).memory(),
    stowage: async () => (await import('../contestants/stowage-memory.mjs')).shared(),
    'stowage-bytes': async () => (await import('../contestants/stowage-memory.mjs')).bytes(),
  },
  peers: {
    'async-cache-dedupe': async () =>
      (await import('../contestants/async-cache-dedupe.mjs')).memory(),
    bentocache: async () => (await import('../contestants/bentocache.mjs')).memory(),
    'cache-manager': async () => (await import('../contestants/cache-manager.mjs')).memory(),
    keyv: async () => (await import('../contestants/keyv.mjs')).memory(),
    unstorage: async () => (await import('../contestants/unstorage.mjs')).memory(),
  },
  comparedToRawJson: ['stowage-bytes', 'bentocache', 'keyv', 'unstorage'],
  workloads: () =>
    keyValueWorkloads(
      objects,
      ['get', 'set', 'getMany', 'rememberHit'].map((name) => ({ name, inFlight: 1 })),
    ),
  prepare: fill(objects),
  check: checkHits(objects),
}
