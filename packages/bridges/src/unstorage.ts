/**
 * Interface: the drivers of unstorage 1 (tested with 1.17), which Nuxt, Nitro and Astro use.
 *
 * Cannot: list keys, or clear a part of a mount, on a backend that does not list its keys (memcached): `getKeys` resolves
 * to no keys there, and `clear` of a part rejects. `watch` and `getMeta`. A ttl is in seconds, and one of 0 is over. Keys
 * that the backend has to shorten are listed in their shortened form. Failures reject with their `CacheError`.
 */
import {
  type Cache,
  type CachesFromEnvOptions,
  cachesFromEnv,
  type DriverRegistry,
} from '@stowage/core'
import { canListKeys, toText, viewAsIs } from '@stowage/core/driver'
import { checkCache } from './check-cache.ts'
import { groupByTtl } from './group-by-ttl.ts'

interface TtlOptions {
  /** In seconds. */
  readonly ttl?: number
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
  const views = viewsOf(cache)
  return driverOver(
    async () => views,
    async () => {},
  )
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
      return { caches, views: viewsOf(mountedIn(caches.use('cache'), base, ttl)) }
    }
    let opened: ReturnType<typeof open> | undefined
    const use = async () => {
      opened ??= open()
      return (await opened).views
    }
    return driverOver(use, async () => (await opened?.catch(() => undefined))?.caches.close())
  }
}

/** The same entries, read as text and as bytes. */
interface Views {
  readonly texts: Cache
  readonly bytes: Cache
}

function viewsOf(cache: Cache): Views {
  return { texts: viewAsIs(cache, 'text'), bytes: viewAsIs(cache, 'bytes') }
}

function mountedIn(cache: Cache, base: string | undefined, ttl: number | undefined): Cache {
  const within = base ? cache.namespace(base) : cache
  return ttl === undefined ? within : within.view({ ttl: ttl * 1_000 })
}

/** @param use resolves to the views of the cache when they are needed */
function driverOver(use: () => Promise<Views>, dispose: () => Promise<unknown>): UnstorageDriver {
  const set = async (key: string, value: unknown, options?: TtlOptions) =>
    (await use()).bytes.set(key, value, { ttl: milliseconds(options) })
  return {
    name: 'stowage',
    flags: { ttl: true },
    hasItem: async (key) => (await use()).bytes.has(key),
    getItem: async (key) => textOf(await (await use()).texts.get(key)),
    getItemRaw: async (key) => bytesOf(await (await use()).bytes.get(key)),
    async getItems(items) {
      const values = await (await use()).texts.getMany(items.map(({ key }) => key))
      return items.map(({ key }, index) => ({ key, value: textOf(values[index]) }))
    },
    setItem: set,
    setItemRaw: (key, value, options) =>
      set(key, isBuffer(value) ? bytesOf(value) : value, options),
    async setItems(items) {
      const { bytes } = await use()
      const groups = groupByTtl(items, ({ options }) => milliseconds(options))
      const writes = [...groups].map(([ttl, group]) =>
        bytes.setMany(
          group.map(({ key, value }) => [key, value] as const),
          { ttl },
        ),
      )
      await Promise.all(writes)
    },
    async removeItem(key) {
      await (await use()).bytes.delete(key)
    },
    async getKeys(base = '') {
      const { bytes } = await use()
      return canListKeys(bytes) ? keysOf(bytes, base) : []
    },
    async clear(base = '') {
      const { bytes } = await use()
      if (base === '') await bytes.clear()
      else await bytes.deleteMany(await keysOf(bytes, base))
    },
    async dispose() {
      await dispose()
    },
  }
}

async function keysOf(cache: Cache, base: string): Promise<string[]> {
  const keys: string[] = []
  for await (const key of cache.keys()) if (key.startsWith(base)) keys.push(key)
  return keys
}

function milliseconds(options: TtlOptions | undefined): number | undefined {
  return options?.ttl === undefined ? undefined : options.ttl * 1_000
}

function isBuffer(value: unknown): value is ArrayBuffer | ArrayBufferView {
  return value instanceof ArrayBuffer || ArrayBuffer.isView(value)
}

function textOf(value: unknown): string | null {
  if (value === undefined) return null
  return value instanceof Uint8Array ? toText(value) : (value as string)
}

function bytesOf(value: unknown): Buffer | null {
  if (value === undefined) return null
  if (ArrayBuffer.isView(value))
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  return Buffer.from(value as string)
}
