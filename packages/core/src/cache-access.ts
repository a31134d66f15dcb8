import type { Cache } from './cache.ts'
import type { CacheParts } from './cache-parts.ts'
import type { BackendReport, CheckOptions } from './diagnostics.ts'
import type { Inspection } from './inspection/inspection.ts'
import type { Awaitable, ReadOptions } from './store.ts'
import type { Snapshot } from './updates/entry-snapshot.ts'

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

/** Each entry point is bundled on its own: what recognises instances of a class must run where the cache comes from. */
function partsOf(cache: Cache): CacheParts {
  return cache['~parts'] as CacheParts
}
