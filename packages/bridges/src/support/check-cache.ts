/** @throws TypeError also if a store was passed, such as `memory()`, or the arguments in another order */
export function checkCache(bridge: string, cache: unknown): void {
  if (typeof (cache as { remember?: unknown } | undefined)?.remember === 'function') return
  throw new TypeError(
    `${bridge}: the first argument must be a Cache, such as caches.use('cache') or new Cache(memory()).`,
  )
}
