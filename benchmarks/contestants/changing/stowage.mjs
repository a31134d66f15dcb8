import { Cache } from '@stowage/core'
import { redis as redisStore } from '@stowage/redis'
import { openDatabase } from '../../lib/workloads/changing.mjs'

export async function stowage({ redis, postgres }) {
  const cache = new Cache(redisStore({ url: redis }), { prefix: 'app:' })
  const database = openDatabase(postgres)
  return {
    change: (keys) => cache.changing({ keys }, () => database.transaction()),
    set: (key, value) => cache.set(key, value),
    get: (key) => cache.get(key),
    close: () => Promise.all([cache.close(), database.close()]),
  }
}
