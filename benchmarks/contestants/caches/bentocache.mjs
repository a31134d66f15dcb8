import { BentoCache, bentostore } from 'bentocache'
import { memoryDriver } from 'bentocache/drivers/memory'
import { redisDriver } from 'bentocache/drivers/redis'

export const memory = () => contestant(bentostore().useL1Layer(memoryDriver({ maxItems: 50_000 })))

export function redis({ url }) {
  const { hostname: host, port, pathname } = new URL(url)
  const connection = { host, port: Number(port), db: Number(pathname.slice(1)) }
  return contestant(bentostore().useL2Layer(redisDriver({ connection })))
}

function contestant(store) {
  const cache = new BentoCache({ default: 'store', ttl: '1h', stores: { store } })
  return {
    get: (key) => cache.get({ key }),
    set: (key, value) => cache.set({ key, value }),
    remember: (key, load) => cache.getOrSet({ key, factory: load }),
    close: () => cache.disconnectAll(),
  }
}
