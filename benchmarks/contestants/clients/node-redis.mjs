import { createClient } from 'redis'
import { hourMs } from '../../lib/workloads/dataset.mjs'
import { jsonRedisCache } from '../shared/json-redis-cache.mjs'

/** The client with its defaults, which include a deadline for each command. */
export const redis = ({ url }) => contestant({ url })

/** Without deadlines, like ioredis: an abort signal per command takes more than half of the client's CPU time. */
export const withoutDeadline = ({ url }) =>
  contestant({ url, commandOptions: { timeout: undefined } })

async function contestant(options) {
  const client = await createClient(options).connect()
  return jsonRedisCache({
    get: (key) => client.get(key),
    set: (key, text) => client.set(key, text, { PX: hourMs }),
    mget: (keys) => client.mGet(keys),
    close: () => client.close(),
  })
}
