import { memcached as memcachedStore } from '@stowage/memcached'
import { hourMs } from '../../lib/workloads/dataset.mjs'
import { cacheContestant, taggedCacheContestant } from './cache.mjs'

/** A long deadline, so that a busy machine does not end the run. */
const open = (servers) => memcachedStore({ servers, timeout: '10s' })

export const memcached = ({ servers }) => cacheContestant(open(servers))
export const tagged = ({ servers }) => taggedCacheContestant(open(servers))

/** The store without a Cache, with values that are bytes. */
export function bytes({ servers }) {
  const store = open(servers)
  return {
    get: (key) => store.get(key),
    set: (key, value) => store.set(key, value, hourMs),
    getMany: (keys) => store.getMany(keys),
    close: () => store.close(),
  }
}
