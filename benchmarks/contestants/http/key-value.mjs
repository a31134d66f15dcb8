import { flags } from '../../lib/workloads/dataset.mjs'
import { redis as rawRedis } from '../clients/ioredis.mjs'
import { memcached as rawMemcached } from '../clients/memjs.mjs'
import { redis as nodeRedisClient, withoutDeadline } from '../clients/node-redis.mjs'
import { redis as minimal } from '../clients/redis-minimal.mjs'
import { memcached } from '../stowage/memcached.mjs'
import { redis } from '../stowage/redis.mjs'
import { withLoad } from './with-load.mjs'

export const ioredis = ({ redis }) => overHttp(rawRedis(redis))
export const nodeRedis = async ({ redis }) => overHttp(await nodeRedisClient(redis))
export const nodeRedisNoDeadline = async ({ redis }) => overHttp(await withoutDeadline(redis))
export const memjs = ({ memcached }) => overHttp(rawMemcached(memcached))
export const minimalRedis = async ({ redis }) => overHttp(await minimal(redis))
export const stowageRedis = (address) => overHttp(redis(address.redis))
export const stowageMemcached = (address) => overHttp(memcached(address.memcached))

/** Replies without a store. */
export const noStore = () => {
  const values = new Map(flags.keys.map((key, index) => [key, flags.values[index]]))
  return overHttp({ get: (key) => values.get(key), set() {} })
}

/** A server with the routes `/get/<index>` and `/update/<index>`, which reads a value and writes it back. */
async function overHttp(cache) {
  const { load, close } = await withLoad(
    (request, response) => void reply(cache, request, response),
    cache.close,
  )
  return { ...cache, load, close }
}

async function reply(cache, { url }, response) {
  const [, route, index] = url.split('/')
  let text = ''
  if (route !== 'login') {
    const key = flags.keys[index]
    const value = await cache.get(key)
    if (route === 'update') await cache.set(key, value)
    text = `${value.id}`
  }
  response.writeHead(200, { 'Content-Length': text.length })
  response.end(text)
}
