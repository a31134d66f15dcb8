import type { InvalidationBus } from './bus.ts'
import type { Cache } from './cache.ts'
import type { CacheParts } from './cache-parts.ts'
import type { BackendReport, CheckOptions, StoreUsage } from './diagnostics.ts'
import type { Inspection } from './inspection/inspection.ts'
import type { Awaitable, CacheStore, ReadOptions } from './store.ts'
import type { Snapshot } from './updates/entry-snapshot.ts'
import { type AsIsOptions, asIs } from './values/codecs/as-is.ts'

/**
 * Returns the value of a key like `cache.get`, without a copy: its bytes may be those of the store, and must not be
 * modified. Returns the value itself instead of a promise if the store replies at once. For libraries that forward bytes.
 *
 * @example
 * const page = await getShared<Buffer>(cache, 'page:home')
 * console.log(page?.byteLength)
 */
export function getShared<T = unknown>(
  cache: Cache,
  key: string,
  options?: ReadOptions,
): Awaitable<T | undefined> {
  return partsOf(cache).getShared<T>(key, options)
}

/**
 * Returns the snapshot of a key that is expected to be missing, without a read. Its `replace` and `swap` store a value
 * only if it is a miss.
 *
 * @example
 * const stored = await expectMissing<number>(cache, 'order:1').swap(1)
 * console.log(stored?.value) // undefined if the key exists
 */
export function expectMissing<T = unknown>(cache: Cache, key: string): Snapshot<T> {
  return partsOf(cache).expectMissing<T>(key)
}

/**
 * Returns a view of the cache for values that are text or bytes already, which JSON would quote. A cache whose codec does
 * more than JSON, as `encrypted()` and `compressed()`, is returned itself: then reads return what was written.
 *
 * @example
 * const pages = viewAsIs(cache, 'text')
 * await pages.set('home', '<h1>Home</h1>') // stored as these 13 bytes
 */
export function viewAsIs(cache: Cache, returns: NonNullable<AsIsOptions['returns']>): Cache {
  const { codec } = partsOf(cache).options
  const isPlain = codec === undefined || codec.plainJson === true
  return isPlain && !cache.storesByReference ? cache.view({ codec: asIs({ returns }) }) : cache
}

/** What a cache uses, for a driver that replaces a part of it. */
export interface CacheBackend {
  readonly store: CacheStore
  /** The bus of its near cache. */
  readonly bus: InvalidationBus | undefined
  /** Call it when a storage key is written: values that this process is loading for it are not stored. */
  readonly invalidateLoads: (key: string) => void
}

/**
 * Returns a cache like `cache`, with its prefix, codec and default ttl, over the store that `replace` returns: for a driver
 * whose calls can be made elsewhere, such as in a transaction of the application. It has no near cache.
 *
 * @example
 * const slow = cacheOver(cache, ({ store }) => withTimeout(store, '30s'))
 * console.log(await slow.get('report'))
 */
export function cacheOver(cache: Cache, replace: (backend: CacheBackend) => CacheStore): Cache {
  const { scope, givenStore: store, root } = partsOf(cache)
  const invalidateLoads = (key: string) => scope.invalidateLoads(key)
  return cache['~over'](replace({ store, bus: root.near?.bus, invalidateLoads }))
}

/**
 * Returns the time of the backend in epoch milliseconds, which all processes share even if their own clocks differ. It is that of
 * this process if the backend has no clock, or has not replied yet. Never rejects.
 *
 * @example
 * const until = (await backendTime(cache)) + 30_000
 */
export function backendTime(cache: Cache): Promise<number> {
  return partsOf(cache).root.time.estimate()
}

/**
 * Whether the backend can list its keys, so that `cache.keys()` works.
 *
 * @example
 * if (canListKeys(cache)) for await (const key of cache.keys()) console.log(key)
 */
export function canListKeys(cache: Cache): boolean {
  return partsOf(cache).store.scan !== undefined
}

/**
 * Deletes the entries whose keys begin with `prefix`, as `cache.keys()` lists them. `deleteMany` would not find a key that is
 * listed in its shortened form. Resolves to the number of deleted entries.
 *
 * @param onProgress called with the number of entries that have been deleted so far
 * @throws CacheError `ERR_CACHE_UNSUPPORTED` if the backend cannot list its keys
 * @example
 * console.log(await deleteWithPrefix(cache, 'user:'))
 */
export function deleteWithPrefix(
  cache: Cache,
  prefix: string,
  onProgress?: (deleted: number) => void,
): Promise<number> {
  return partsOf(cache).deleteWithPrefix(prefix, onProgress)
}

/**
 * Returns what is stored under a key, for tools: where, how large, how long, and with which tags. Neither returns the
 * value nor counts as a hit or miss.
 *
 * @example
 * const { state, bytes, ttlMs } = await inspectKey(cache, 'user:1')
 * console.log(state, bytes, ttlMs)
 */
export async function inspectKey(cache: Cache, key: string): Promise<Inspection> {
  return partsOf(cache).inspect(key)
}

/**
 * Checks every server of the backend of a cache, for tools: reachability, roles, settings. Resolves to `undefined` for a
 * store without diagnostics.
 *
 * @example
 * const report = await checkBackend(cache)
 * for (const { problem, remedy } of report?.findings ?? []) console.warn(problem, remedy)
 */
export async function checkBackend(
  cache: Cache,
  options?: CheckOptions,
): Promise<BackendReport | undefined> {
  return partsOf(cache).check(options)
}

/**
 * Returns how much the store of a cache keeps in the memory of this process: of all caches over this store, without near
 * caches. `undefined` for a store that keeps nothing there.
 *
 * @example
 * const { entries, bytes } = storeUsage(cache) ?? {}
 */
export function storeUsage(cache: Cache): StoreUsage | undefined {
  return partsOf(cache).usage()
}

/** Each entry point is bundled on its own: what recognises instances of a class must run where the cache comes from. */
function partsOf(cache: Cache): CacheParts {
  return cache['~parts'] as CacheParts
}
