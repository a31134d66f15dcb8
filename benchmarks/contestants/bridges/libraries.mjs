import { createCache } from 'cache-manager'
import { Keyv } from 'keyv'
import { createStorage } from 'unstorage'
import { windowMs } from '../../lib/workloads/bridges.mjs'
import { hourMs } from '../../lib/workloads/dataset.mjs'

/**
 * The libraries with their stores, as the workloads call them.
 *
 * @param stores what an application passes to each library
 */
export async function withStores({ nest, nestInMemory, keyv, driver, limits, close }) {
  await limits.init({ windowMs })
  return {
    'cache-manager': cacheManager(nest),
    'cache-manager in memory': cacheManager(nestInMemory),
    keyv: keyvCache(new Keyv({ store: keyv, ttl: hourMs })),
    unstorage: unstorage(createStorage({ driver })),
    'unstorage driver': unstorageDriver(driver),
    'express-rate-limit': {
      increment: async (key) => (await limits.increment(key)).totalHits,
    },
    close,
  }
}

/** What an application of Nest injects is such a cache. */
function cacheManager(store) {
  const cache = createCache({ ttl: hourMs, stores: [store] })
  return { get: (key) => cache.get(key), set: (key, value) => cache.set(key, value) }
}

function keyvCache(cache) {
  return { get: (key) => cache.get(key), set: (key, value) => cache.set(key, value) }
}

function unstorage(storage) {
  return {
    get: (key) => storage.getItem(key),
    set: (key, value) => storage.setItem(key, value),
    getMany: async (keys) => (await storage.getItems(keys)).map(({ value }) => value),
  }
}

/** Reads the texts of items, without the layer above the driver, which normalizes keys and parses values. */
function unstorageDriver({ getItems }) {
  return {
    getMany: async (keys) =>
      (await getItems(keys.map((key) => ({ key })))).map(({ value }) => value),
  }
}
