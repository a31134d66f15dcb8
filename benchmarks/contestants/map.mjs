/** The least an asynchronous cache can do: a Map behind one async function. */
export function references() {
  const map = new Map()
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

/** The same for values that nobody can change from outside: kept as JSON text. */
export function jsonText() {
  const map = new Map()
  return {
    async get(key) {
      return parsed(map.get(key))
    },
    async set(key, value) {
      map.set(key, JSON.stringify(value))
    },
    async getMany(keys) {
      return keys.map((key) => parsed(map.get(key)))
    },
    async remember(key, load) {
      const found = map.get(key)
      if (found !== undefined) return JSON.parse(found)
      const value = await load()
      map.set(key, JSON.stringify(value))
      return value
    },
    async close() {},
  }
}

function parsed(text) {
  return text === undefined ? undefined : JSON.parse(text)
}
