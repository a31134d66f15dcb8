import { Client } from 'memjs'
import { hourMs } from '../../lib/workloads/dataset.mjs'

const ttlSeconds = hourMs / 1_000

/** What an application writes by hand: the client with its defaults, and values as JSON text. */
export const memcached = ({ servers }) => contestant(servers, JSON.stringify, parseBuffer)

/** The same with values that are bytes, without JSON. */
export const bytes = ({ servers }) => contestant(servers, unchanged, unchanged)

function contestant(servers, encode, decode) {
  const client = Client.create(servers.join(','))
  const get = async (key) => decode((await client.get(key)).value)
  return {
    get,
    set: (key, value) => client.set(key, encode(value), { expires: ttlSeconds }),
    // The client has no method for several keys.
    getMany: (keys) => Promise.all(keys.map(get)),
    close: async () => client.close(),
  }
}

function parseBuffer(buffer) {
  return buffer === null ? undefined : JSON.parse(buffer.toString())
}

function unchanged(value) {
  return value
}
