import { Memcache } from 'memcache'
import { hourMs } from '../lib/dataset.mjs'

const expires = hourMs / 1_000

export function memcached(servers) {
  // By default a connection that was idle for five seconds is ended, and a call may then wait for ever.
  const client = new Memcache({ nodes: servers, timeout: hourMs })
  return {
    get: async (key) => parsed(await client.get(key)),
    set: (key, value) => client.set(key, JSON.stringify(value), expires),
    async getMany(keys) {
      const found = await client.gets(keys)
      return keys.map((key) => parsed(found.get(key)))
    },
    close: () => client.disconnect(),
  }
}

function parsed(text) {
  return text === undefined ? undefined : JSON.parse(text)
}
