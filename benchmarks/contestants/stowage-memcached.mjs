import { memcached as store } from '@stowage/memcached'
import { hourMs } from '../lib/dataset.mjs'
import { stowage } from './stowage.mjs'

export const memcached = (servers) => stowage(store({ servers }))

/** The store without the facade, with values that are bytes already. */
export function bytes(servers) {
  const driver = store({ servers })
  return {
    get: (key) => driver.get(key),
    set: (key, value) => driver.set(key, value, hourMs),
    getMany: (keys) => driver.getMany(keys),
    close: () => driver.close(),
  }
}
