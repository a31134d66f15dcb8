import { Client } from 'memjs'
import { hourMs } from '../lib/dataset.mjs'

const expires = hourMs / 1_000

/** What an application writes by hand: the client with its defaults, and JSON. It has no call for many keys. */
export function memcached(servers) {
  const client = Client.create(servers.join(','))
  const get = async (key) => parsed((await client.get(key)).value)
  return {
    get,
    set: (key, value) => client.set(key, JSON.stringify(value), { expires }),
    getMany: (keys) => Promise.all(keys.map(get)),
    close: async () => client.close(),
  }
}

/** The same with values that are bytes already. */
export function bytes(servers) {
  const client = Client.create(servers.join(','))
  const get = async (key) => (await client.get(key)).value
  return {
    get,
    set: (key, value) => client.set(key, value, { expires }),
    getMany: (keys) => Promise.all(keys.map(get)),
    close: async () => client.close(),
  }
}

function parsed(bytes) {
  return bytes === null ? undefined : JSON.parse(bytes.toString())
}
