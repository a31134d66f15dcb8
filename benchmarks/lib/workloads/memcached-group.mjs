import { lazyContestant } from '../../contestants/lazy-contestant.mjs'
import { memcachedServers } from '../servers/memcached-servers.mjs'
import { flagBytes, flags } from './dataset.mjs'
import { checkHits, fill, keyValueWorkloads } from './key-value.mjs'

const plan = [
  { name: 'get', inFlight: 100, minRatio: 5, minTaggedRatio: 0.9 },
  { name: 'get', inFlight: 1, minRatio: 1, minTaggedRatio: 0.9 },
  { name: 'set', inFlight: 100, minRatio: 4 },
  { name: 'set', inFlight: 1, minRatio: 1 },
  { name: 'getMany', inFlight: 1, minRatio: 5 },
]

/** Memcached clients with JSON. `raw` is memjs, whose connection class the Stowage driver uses. */
export function memcachedGroup(nodes) {
  return {
    server: { start: memcachedServers(nodes) },
    contestants: {
      raw: lazyContestant('clients/memjs', 'memcached'),
      memcache: lazyContestant('clients/memcache', 'memcached'),
      memcached: lazyContestant('clients/memcached', 'memcached'),
      stowage: lazyContestant('stowage/memcached', 'memcached'),
      'stowage-tagged': lazyContestant('stowage/memcached', 'tagged'),
    },
    workloads: () =>
      keyValueWorkloads(
        flags,
        plan.map((entry) => ({ ...entry, fastest: true })),
      ),
    prepare: fill(flags),
    check: checkHits(flags),
  }
}

/** memjs and the Stowage driver with bytes, without JSON and Cache; and `minimal`, the minimum that any client does. */
export function memcachedBytesGroup(nodes) {
  return {
    server: { start: memcachedServers(nodes) },
    contestants: {
      raw: lazyContestant('clients/memjs', 'bytes'),
      minimal: lazyContestant('clients/memcached-minimal', 'bytes'),
      stowage: lazyContestant('stowage/memcached', 'bytes'),
    },
    workloads: () => keyValueWorkloads(flagBytes, plan),
    prepare: fill(flagBytes),
    check: checkHits(flagBytes),
  }
}
