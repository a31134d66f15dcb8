import { promisify } from 'node:util'
import Memcached from 'memcached'
import { hourMs } from '../../lib/workloads/dataset.mjs'
import { parseJson } from '../shared/parse-json.mjs'

const ttlSeconds = hourMs / 1_000

export function memcached({ servers }) {
  const client = new Memcached(servers)
  const get = promisify(client.get.bind(client))
  const set = promisify(client.set.bind(client))
  const getMulti = promisify(client.getMulti.bind(client))
  return {
    get: async (key) => parseJson(await get(key)),
    set: (key, value) => set(key, JSON.stringify(value), ttlSeconds),
    async getMany(keys) {
      const found = await getMulti(keys)
      return keys.map((key) => parseJson(found[key]))
    },
    close: async () => client.end(),
  }
}
