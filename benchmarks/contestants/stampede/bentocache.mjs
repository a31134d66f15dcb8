import { BentoCache, bentostore } from 'bentocache'
import { redisDriver } from 'bentocache/drivers/redis'
import { freshMs, staleMs } from './staleness.mjs'

export function redis({ url }) {
  const { hostname: host, port, pathname } = new URL(url)
  const connection = { host, port: Number(port), db: Number(pathname.slice(1)) }
  const store = bentostore().useL2Layer(redisDriver({ connection }))
  // With a timeout of 0, a call does not wait for the load if there is a stale value.
  const options = { ttl: freshMs, grace: staleMs, timeout: 0 }
  const cache = new BentoCache({ default: 'store', ...options, stores: { store } })
  const remember = (key, load) => cache.getOrSet({ key, factory: load })
  return { remember, rememberStale: remember, close: () => cache.disconnectAll() }
}
