/**
 * Interface: the drivers of unstorage 1 (tested with 1.17), which Nuxt, Nitro and Astro use, and of unstorage 2 in Nitro 3
 * (tested with 3.0).
 *
 * Cannot: list keys, or clear a part of a mount, on a backend that does not list its keys (memcached): `getKeys` resolves
 * to no keys there, and `clear` of a part rejects. `watch` and `getMeta`. A ttl is in seconds, and one of 0 is over. Keys
 * that the backend has to shorten are listed in their shortened form. Failures reject with their `CacheError`.
 */
import { types } from 'node:util'
import {
  type Cache,
  type CachesFromEnvOptions,
  cachesFromEnv,
  type DriverRegistry,
} from '@stowage/core'
import { canListKeys, deleteWithPrefix, viewAsIs } from '@stowage/core/internal'
import { checkCache, setByTtl, textOf } from './support/caches.ts'

interface TtlOptions {
  /** In seconds. */
  readonly ttl?: number | null
}

interface Item {
  readonly key: string
  readonly options?: TtlOptions
}

/** What unstorage calls, without a `this`. */
export interface UnstorageDriver {
  name: string
  flags: { ttl: boolean }
  hasItem(key: string): Promise<boolean>
  getItem(key: string): Promise<string | null>
  getItems(items: Item[]): Promise<{ key: string; value: string | null }[]>
  getItemRaw(key: string): Promise<Buffer | null>
  setItem(key: string, value: string, options?: TtlOptions): Promise<void>
  setItems(items: (Item & { value: string })[]): Promise<void>
  setItemRaw(key: string, value: unknown, options?: TtlOptions): Promise<void>
  removeItem(key: string): Promise<void>
  getKeys(base?: string): Promise<string[]>
  clear(base?: string): Promise<void>
  dispose(): Promise<void>
}

/**
 * Returns a driver that stores items in a cache. The ttl of the cache applies to items without one, as those of Nitro with
 * `swr`.
 *
 * @example
 * import { createStorage } from 'unstorage'
 *
 * const storage = createStorage({ driver: unstorageDriver(cache) })
 * await storage.setItem('user:1', { name: 'Ada' }, { ttl: 60 })
 */
export function unstorageDriver(cache: Cache): UnstorageDriver {
  checkCache('unstorageDriver', cache)
  const [texts, bytes] = [viewAsIs(cache, 'text'), viewAsIs(cache, 'bytes')]
  const set = (key: string, value: unknown, options?: TtlOptions) =>
    bytes.set(key, value, { ttl: milliseconds(options) })
  return {
    name: 'stowage',
    flags: { ttl: true },
    hasItem: (key) => bytes.has(key),
    getItem: async (key) => textOf(await texts.get(key)) ?? null,
    getItemRaw: async (key) => bytesOf(await bytes.get(key)),
    async getItems(items) {
      const values = await texts.getMany(items.map(({ key }) => key))
      return items.map(({ key }, index) => ({ key, value: textOf(values[index]) ?? null }))
    },
    setItem: set,
    setItemRaw: (key, value, options) =>
      set(key, isBuffer(value) ? bytesOf(value) : value, options),
    setItems: (items) =>
      setByTtl(
        bytes,
        items.map(({ key, value, options }) => [key, value, milliseconds(options)]),
      ),
    async removeItem(key) {
      await bytes.delete(key)
    },
    getKeys: async (base = '') => (canListKeys(bytes) ? keysOf(bytes, base) : []),
    async clear(base = '') {
      if (base === '') await bytes.clear()
      else await deleteWithPrefix(bytes, base)
    },
    async dispose() {},
  }
}

async function keysOf(cache: Cache, base: string): Promise<string[]> {
  const keys: string[] = []
  for await (const key of cache.keys()) if (key.startsWith(base)) keys.push(key)
  return keys
}

function milliseconds(options: TtlOptions | undefined): number | undefined {
  return options?.ttl == null ? undefined : options.ttl * 1_000
}

function isBuffer(value: unknown): value is ArrayBufferLike | ArrayBufferView {
  return types.isAnyArrayBuffer(value) || ArrayBuffer.isView(value)
}

function bytesOf(value: unknown): Buffer | null {
  if (value === undefined) return null
  if (ArrayBuffer.isView(value))
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  return Buffer.from(value as string)
}

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
