import { Cache } from '@stowage/core'
import { redis as redisStore } from '@stowage/redis'
import { Redis } from 'ioredis'
import { openDatabase } from '../../lib/workloads/changing.mjs'

/** A transaction, and then one command that deletes the keys. */
export async function ioredis({ redis, postgres }) {
  const client = new Redis(redis)
  const database = openDatabase(postgres)
  return {
    change: async (keys) => {
      await database.transaction()
      await client.del(keys)
    },
    set: (key, value) => client.set(key, value),
    get: async (key) => (await client.get(key)) ?? undefined,
    close: () => Promise.all([client.quit(), database.close()]),
  }
}

export async function stowage({ redis, postgres }) {
  const cache = new Cache(redisStore({ url: redis }), { prefix: 'app:' })
  const database = openDatabase(postgres)
  return {
    change: async (keys) => {
      await database.transaction()
      await cache.deleteMany(keys)
    },
    set: (key, value) => cache.set(key, value),
    get: (key) => cache.get(key),
    close: () => Promise.all([cache.close(), database.close()]),
  }
}
