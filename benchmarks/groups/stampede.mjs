import { lazyContestant } from '../contestants/lazy-contestant.mjs'
import { runStampedes } from '../lib/stampede/run-stampedes.mjs'

/** Several processes ask for the same missing or stale key at the same time. `raw` is ioredis with JSON. */
export default {
  run: runStampedes,
  contestants: {
    raw: lazyContestant('stampede/by-hand', 'redis'),
    stowage: lazyContestant('stampede/stowage', 'redis'),
  },
  peers: {
    'async-cache-dedupe': lazyContestant('stampede/async-cache-dedupe', 'redis'),
    bentocache: lazyContestant('stampede/bentocache', 'redis'),
    'cache-manager': lazyContestant('stampede/cache-manager', 'redis'),
    keyv: lazyContestant('stampede/by-hand', 'keyv'),
  },
}
