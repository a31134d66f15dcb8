import { bytes, small } from './dataset.mjs'
import { checkHits, fill, keyValueWorkloads } from './key-value.mjs'
import { memcachedServers } from './memcached-servers.mjs'

/** With the ratio to raw that each is to reach. */
const workloads = [
  { name: 'get', inFlight: 100, atLeast: 5 },
  { name: 'get', inFlight: 1, atLeast: 1 },
  { name: 'set', inFlight: 100, atLeast: 4 },
  { name: 'set', inFlight: 1, atLeast: 1 },
  { name: 'getMany', inFlight: 1, atLeast: 5 },
].map((each) => ({ ...each, aheadOfOthers: true }))

/** Clients of Memcached with JSON, against the one that Stowage uses. */
export function memcachedGroup(nodes) {
  return {
    server: { start: memcachedServers(nodes) },
    contestants: {
      raw: async ({ servers }) => (await import('../contestants/memjs.mjs')).memcached(servers),
      memcache: async ({ servers }) =>
        (await import('../contestants/memcache.mjs')).memcached(servers),
      memcached: async ({ servers }) =>
        (await import('../contestants/memcached.mjs')).memcached(servers),
      stowage: async ({ servers }) =>
        (await import('../contestants/stowage-memcached.mjs')).memcached(servers),
    },
    workloads: () => keyValueWorkloads(small, workloads),
    prepare: fill(small),
    check: checkHits(small),
  }
}

/**
 * The client that Stowage uses against its driver, both with bytes: no JSON, no facade; and between them what a client
 * cannot do without.
 */
export function memcachedBytesGroup(nodes) {
  return {
    server: { start: memcachedServers(nodes) },
    contestants: {
      raw: async ({ servers }) => (await import('../contestants/memjs.mjs')).bytes(servers),
      least: async ({ servers }) =>
        (await import('../contestants/memcached-least.mjs')).bytes(servers),
      stowage: async ({ servers }) =>
        (await import('../contestants/stowage-memcached.mjs')).bytes(servers),
    },
    workloads: () => keyValueWorkloads(bytes, workloads.map(alone)),
    prepare: fill(bytes),
    check: checkHits(bytes),
  }
}

const alone = ({ aheadOfOthers, ...workload }) => workload
