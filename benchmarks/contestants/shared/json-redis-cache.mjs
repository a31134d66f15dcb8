import { parseJson } from './parse-json.mjs'

/** What an application writes by hand around the commands of a Redis client: values are stored as JSON text. */
export function jsonRedisCache({ get, set, mget, close }) {
  return {
    async get(key) {
      return parseJson(await get(key))
    },
    set: (key, value) => set(key, JSON.stringify(value)),
    async getMany(keys) {
      return (await mget(keys)).map(parseJson)
    },
    async remember(key, load) {
      const text = await get(key)
      if (text !== null) return JSON.parse(text)
      const value = await load()
      await set(key, JSON.stringify(value))
      return value
    },
    close,
  }
}
