import { createStorage } from 'unstorage'
import fsDriver from 'unstorage/drivers/fs'
import memoryDriver from 'unstorage/drivers/memory'
import redisDriver from 'unstorage/drivers/redis'
import { hourMs } from '../../lib/workloads/dataset.mjs'

/** The memory driver has no ttl. */
export const memory = () => contestant(memoryDriver())
export const redis = ({ url }) => contestant(redisDriver({ url, ttl: hourMs / 1_000 }))

/** The file driver has no ttl either. */
export const file = ({ path }) => contestant(fsDriver({ base: path }))

function contestant(driver) {
  const storage = createStorage({ driver })
  return {
    get: (key) => storage.getItem(key),
    set: (key, value) => storage.setItem(key, value),
    getMany: async (keys) => (await storage.getItems(keys)).map(({ value }) => value),
    close: () => storage.dispose(),
  }
}
