import { CacheError } from '../errors.ts'
import type { CacheStore } from '../store.ts'

/**
 * Lists the keys that begin with `prefix`, without the reserved ones.
 *
 * @throws CacheError `ERR_CACHE_UNSUPPORTED` if the backend cannot list its keys
 */
export async function* listKeys(
  store: Pick<CacheStore, 'name' | 'scan'>,
  prefix: string,
): AsyncGenerator<readonly string[], void, undefined> {
  const pages = store.scan?.(prefix)
  if (pages === undefined) throw cannotList(store.name)
  const reserved = `${prefix}~`
  const isReserved = (key: string) => key.startsWith(reserved)
  for await (const page of pages) {
    // The page itself where possible: a store may know that its keys exist, and need not count them.
    yield page.some(isReserved) ? page.filter((key) => !isReserved(key)) : page
  }
}

function cannotList(store: string): CacheError {
  return new CacheError(
    'ERR_CACHE_UNSUPPORTED',
    `${store} keys failed: the backend cannot list its keys. Give entries tags, and invalidate those, or use another driver.`,
    { store, operation: 'scan' },
  )
}
