import { Redis } from 'ioredis'
import { hourMs } from '../lib/dataset.mjs'

/** What an application writes by hand: the client with its defaults, and JSON. */
export function redis(url) {
  const client = new Redis(url)
  const set = (key, value) => client.set(key, JSON.stringify(value), 'PX', hourMs)
  return {
    async get(key) {
      return parsed(await client.get(key))
    },
    set,
    async getMany(keys) {
      return (await client.mget(keys)).map(parsed)
    },
    async remember(key, load) {
      const found = await client.get(key)
      if (found !== null) return JSON.parse(found)
      const value = await load()
      await set(key, value)
      return value
    },
    close: () => client.quit(),
  }
}

function parsed(text) {
  return text === null ? undefined : JSON.parse(text)
}
