import * as keyvCache from '../caches/keyv.mjs'
import * as ioredis from '../clients/ioredis.mjs'

/** What an application writes around a client or a cache that has no such method: read, load, write. */
export function redis(address) {
  const { get, set, remember, close } = ioredis.redis(address)
  return { get, set, remember, close }
}

export function keyv(address) {
  const { get, set, close } = keyvCache.redis(address)
  return {
    get,
    set,
    async remember(key, load) {
      const found = await get(key)
      if (found !== undefined) return found
      const value = await load()
      await set(key, value)
      return value
    },
    close,
  }
}
