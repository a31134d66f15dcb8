import { Memcache } from 'memcache'
import { hourMs } from '../../lib/workloads/dataset.mjs'
import { parseJson } from '../shared/parse-json.mjs'

const ttlSeconds = hourMs / 1_000

export function memcached({ servers }) {
  // The default timeout closes connections that have been idle for five seconds, after which a call may hang.
  const client = new Memcache({ nodes: servers, timeout: hourMs })
  return {
    get: async (key) => parseJson(await client.get(key)),
    set: (key, value) => client.set(key, JSON.stringify(value), ttlSeconds),
    async getMany(keys) {
      const found = await client.gets(keys)
      return keys.map((key) => parseJson(found.get(key)))
    },
    close: () => client.disconnect(),
  }
}
