import { BentoCache, bentostore } from 'bentocache'
import { fileDriver } from 'bentocache/drivers/file'
import { memoryDriver } from 'bentocache/drivers/memory'
import { redisDriver } from 'bentocache/drivers/redis'

export const memory = () => contestant(bentostore().useL1Layer(memoryDriver({ maxItems: 50_000 })))

export const redis = (address) => contestant(bentostore().useL2Layer(redisLayer(address)))

/** In the process, in front of Redis. */
export function twoTier(address) {
  const store = bentostore().useL1Layer(memoryDriver({ maxItems: 50_000 }))
  return contestant(store.useL2Layer(redisLayer(address)))
}

function redisLayer({ url }) {
  const { hostname: host, port, pathname } = new URL(url)
  return redisDriver({ connection: { host, port: Number(port), db: Number(pathname.slice(1)) } })
}

export const file = ({ path }) =>
  contestant(bentostore().useL2Layer(fileDriver({ directory: path, pruneInterval: false })))

function contestant(store) {
  const cache = new BentoCache({ default: 'store', ttl: '1h', stores: { store } })
  return {
    get: (key) => cache.get({ key }),
    set: (key, value) => cache.set({ key, value }),
    remember: (key, load) => cache.getOrSet({ key, factory: load }),
    close: () => cache.disconnectAll(),
  }
}
