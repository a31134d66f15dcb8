import { createClient } from 'redis'
import { hourMs } from '../lib/dataset.mjs'

/** As `raw`, by the other client, which gives each command a deadline. */
export const redis = (url) => contestant({ url })

/** Without deadlines, as ioredis: an abort signal for each command is more than half of what the client does. */
export const withoutDeadline = (url) => contestant({ url, commandOptions: { timeout: undefined } })

async function contestant(options) {
  const client = await createClient(options).connect()
  const set = (key, value) => client.set(key, JSON.stringify(value), { PX: hourMs })
  return {
    async get(key) {
      return parsed(await client.get(key))
    },
    set,
    async getMany(keys) {
      return (await client.mGet(keys)).map(parsed)
    },
    async remember(key, load) {
      const found = await client.get(key)
      if (found !== null) return JSON.parse(found)
      const value = await load()
      await set(key, value)
      return value
    },
    close: () => client.close(),
  }
}

function parsed(text) {
  return text === null ? undefined : JSON.parse(text)
}
