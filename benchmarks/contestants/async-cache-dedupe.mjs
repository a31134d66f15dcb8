import { createCache } from 'async-cache-dedupe'
import { Redis } from 'ioredis'
import { hourMs } from '../lib/dataset.mjs'

const ttl = hourMs / 1_000

export const memory = () => contestant({ type: 'memory', options: { size: 50_000 } })

export function redis(url) {
  const client = new Redis(url)
  return contestant({ type: 'redis', options: { client } }, () => client.quit())
}

function contestant(storage, close = async () => {}) {
  let loadNow
  // It takes one loader, for good, where the others take one per call.
  const cache = createCache({ ttl, storage }).define('value', () => loadNow())
  return {
    get: (key) => cache.get('value', key),
    set: (key, value) => cache.set('value', key, value, ttl),
    remember(key, load) {
      loadNow = load
      return cache.value(key)
    },
    close,
  }
}
