import { startPostgres } from './postgres-server.mjs'
import { startRedis } from './redis-server.mjs'

/** A Redis server, and a PostgreSQL server, with a database each for each contestant. */
export async function startRedisAndPostgres(contestants) {
  const [redis, postgres] = await Promise.all([startRedis(contestants), startPostgres(contestants)])
  return {
    pids: [...redis.pids, ...postgres.pids],
    addressOf: (contestant) => ({
      redis: redis.addressOf(contestant).url,
      postgres: postgres.addressOf(contestant).url,
    }),
    reset: () => Promise.all([redis.reset(), postgres.reset()]),
    countCommands: redis.countCommands,
    stop: () => Promise.all([redis.stop(), postgres.stop()]),
  }
}
