/**
 * Interface: the drivers of unstorage 1 (tested with 1.17), which Nuxt, Nitro and Astro use, and of unstorage 2 in Nitro 3
 * (tested with 3.0).
 *
 * Cannot: list keys, or clear a part of a mount, on a backend that does not list its keys (memcached): `getKeys` resolves
 * to no keys there, and `clear` of a part rejects. `watch` and `getMeta`. A ttl is in seconds, and one of 0 is over. Keys
 * that the backend has to shorten are listed in their shortened form. Failures reject with their `CacheError`.
 */
import { type CachesFromEnvOptions, cachesFromEnv, type DriverRegistry } from '@stowage/core'
import { type UnstorageDriver, unstorageDriver } from './unstorage-driver.ts'

export { type UnstorageDriver, unstorageDriver } from './unstorage-driver.ts'

/** What the configuration of a mount can contain, beside the name of the driver. */
export interface UnstorageMountOptions {
  /** Separates the items of this mount from those of others with the same driver. */
  readonly base?: string | undefined
  /** Ttl of items without one, in seconds. @default that of the environment: `CACHE_TTL` */
  readonly ttl?: number | undefined
}

/**
 * Returns the function that a module exports to be the driver of mounts in a configuration that is written before the
 * environment is known, as that of Nitro. The first call reads the environment with `cachesFromEnv`, and takes the cache
 * of the role `cache`. `dispose` closes it.
 *
 * @example
 * const registry = new DriverRegistry({ redis: () => import('@stowage/redis') })
 * const driver = unstorageFromEnv(registry)
 * const mounted = driver({ base: 'pages', ttl: 3600 })
 */
export function unstorageFromEnv(
  registry: DriverRegistry,
  options?: CachesFromEnvOptions,
): (mount?: UnstorageMountOptions) => UnstorageDriver {
  return ({ base, ttl } = {}) => {
    const open = async () => {
      const caches = await cachesFromEnv(process.env, registry, options)
      const cache = caches.use('cache')
      const within = base ? cache.namespace(base) : cache
      const driver = unstorageDriver(ttl === undefined ? within : within.view({ ttl: ttl * 1_000 }))
      return { ...driver, dispose: () => caches.close() }
    }
    let opened: Promise<UnstorageDriver> | undefined
    const opening = () => {
      opened ??= open()
      return opened
    }
    return {
      ...deferred(opening),
      dispose: async () => (await opened?.catch(() => undefined))?.dispose(),
    }
  }
}

const methods = [
  ...([
    'hasItem',
    'getItem',
    'getItems',
    'getItemRaw',
    'setItem',
    'setItems',
    'setItemRaw',
  ] as const),
  ...(['removeItem', 'getKeys', 'clear'] as const),
]

/** A driver that is opened by its first call. */
function deferred(open: () => Promise<UnstorageDriver>): Omit<UnstorageDriver, 'dispose'> {
  const calls = methods.map((method) => {
    const call = async (...args: never[]) =>
      ((await open())[method] as (...args: never[]) => unknown)(...args)
    return [method, call] as const
  })
  return { name: 'stowage', flags: { ttl: true }, ...Object.fromEntries(calls) } as UnstorageDriver
}
