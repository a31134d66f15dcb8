import { memcachedServers } from './memcached-servers.mjs'
import { startRedis } from './redis-server.mjs'

/** A Redis server with a database, and a memcached node, for each contestant. */
export async function startRedisAndMemcached(contestants) {
  const [redis, memcached] = await Promise.all([
    startRedis(contestants),
    memcachedServers(1)(contestants),
  ])
  return {
    pids: [...redis.pids, ...memcached.pids],
    addressOf: (contestant) => ({
      redis: redis.addressOf(contestant),
      memcached: memcached.addressOf(contestant),
    }),
    reset: () => Promise.all([redis.reset(), memcached.reset()]),
    // memcached counts keys, not commands.
    countCommands: redis.countCommands,
    stop: () => Promise.all([redis.stop(), memcached.stop()]),
  }
}
