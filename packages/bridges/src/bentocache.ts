/**
 * Interface: the drivers of the second level of bentocache 1 (tested with 1.6), which `@adonisjs/cache` uses.
 *
 * Cannot: read a key of a namespace from outside, as `posts:1`, on a backend that does not list its keys (memcached), where
 * namespaces have generations; notify the first levels of other processes: use a bus of bentocache for that. A ttl of 0 is
 * over. `disconnect` does not close the cache. Failures reject with their `CacheError`, which bentocache suppresses or throws.
 */
import type { Cache } from '@stowage/core'
import { viewAsIs } from '@stowage/core/internal'
import { checkCache, textOf } from './support/caches.ts'

interface BentoConfig {
  /** That of the `BentoCache`, or of one of its stores. */
  readonly prefix?: string
}

/** What bentocache calls. */
export interface BentoDriver {
  readonly type: 'l2'
  namespace(name: string): BentoDriver
  get(key: string): Promise<string | undefined>
  pull(key: string): Promise<string | undefined>
  set(key: string, value: string, ttl?: number): Promise<boolean>
  delete(key: string): Promise<boolean>
  deleteMany(keys: string[]): Promise<boolean>
  clear(): Promise<void>
  disconnect(): Promise<void>
}

/**
 * Returns a driver for `useL2Layer`.
 *
 * @example
 * import { BentoCache, bentostore } from 'bentocache'
 *
 * const bento = new BentoCache({ default: 'shared', stores: { shared: bentostore().useL2Layer(bentoDriver(cache)) } })
 * await bento.set({ key: 'user:1', value: { name: 'Ada' } })
 */
export function bentoDriver(cache: Cache): {
  options: BentoConfig
  factory: (config: BentoConfig) => BentoDriver
} {
  checkCache('bentoDriver', cache)
  return {
    options: {},
    factory: ({ prefix }) => driverOver(prefix ? cache.namespace(prefix) : cache),
  }
}

function driverOver(cache: Cache): BentoDriver {
  const texts = viewAsIs(cache, 'text')
  return {
    type: 'l2',
    namespace: (name) => driverOver(cache.namespace(name)),
    get: async (key) => textOf(await texts.get(key)),
    pull: async (key) => textOf(await texts.pull(key)),
    async set(key, value, ttl) {
      await texts.set(key, value, { ttl })
      return true
    },
    delete: (key) => texts.delete(key),
    async deleteMany(keys) {
      await texts.deleteMany(keys)
      return true
    },
    clear: () => texts.clear(),
    async disconnect() {},
  }
}
