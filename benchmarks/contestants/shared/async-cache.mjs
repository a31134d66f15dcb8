/** Asynchronous methods over a synchronous map: the minimum of an in-process cache. */
export function asyncCache(map) {
  return {
    async get(key) {
      return map.get(key)
    },
    async set(key, value) {
      map.set(key, value)
    },
    async getMany(keys) {
      return keys.map((key) => map.get(key))
    },
    async remember(key, load) {
      const found = map.get(key)
      if (found !== undefined) return found
      const value = await load()
      map.set(key, value)
      return value
    },
    async close() {},
  }
}
