import { lazyContestant } from '../contestants/lazy-contestant.mjs'
import { startFolders } from '../lib/servers/folders.mjs'
import { users } from '../lib/workloads/dataset.mjs'
import { checkHits, fill, keyValueWorkloads } from '../lib/workloads/key-value.mjs'

/** Caches in files. `raw` is a Map of JSON text in memory, which returns copies as well. */
export default {
  server: { start: startFolders },
  contestants: {
    raw: lazyContestant('caches/map', 'jsonText'),
    minimal: lazyContestant('clients/lmdb-minimal', 'minimal'),
    stowage: lazyContestant('stowage/lmdb', 'lmdb'),
  },
  peers: {
    'keyv-sqlite': lazyContestant('caches/keyv-sqlite', 'sqlite'),
    'bentocache-file': lazyContestant('caches/bentocache', 'file'),
    'unstorage-file': lazyContestant('caches/unstorage', 'file'),
  },
  workloads: () =>
    keyValueWorkloads(users, [
      { name: 'get', inFlight: 1, minRatio: 0.9, minToPeers: 5 },
      { name: 'get', inFlight: 32, minRatio: 0.9, minToPeers: 5 },
      { name: 'rememberHit', inFlight: 1, minRatio: 0.9, minToPeers: 5 },
      { name: 'getMany', inFlight: 1, minToPeers: 5 },
      { name: 'set', inFlight: 32, minPerSecond: 100_000, minToPeers: 5 },
      { name: 'set', inFlight: 1, minToPeers: 5 },
    ]),
  prepare: fill(users),
  check: checkHits(users),
}
