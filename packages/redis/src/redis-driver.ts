import { type ByteStore, type Driver, type Env, withBatching, withTimeout } from '@stowage/core'
import { BorrowedConnection, OwnConnection } from './connection.ts'
import { type RedisOptions, resolveOptions, serverOptions, urlProblem } from './redis-options.ts'
import { RedisStore } from './redis-store.ts'

/** A store on a Redis or Valkey server. Connects with the first command. @throws CacheError `ERR_CACHE_CONFIG` */
export function redis(options: RedisOptions = {}): ByteStore {
  const resolved = resolveOptions(options)
  const { client } = options
  if (client === undefined) {
    const connection = new OwnConnection(serverOptions(options), resolved)
    return merged(new RedisStore(connection, resolved.maxValueBytes))
  }
  const connection = new BorrowedConnection(client)
  // Whether a client of the caller's ever gives up is not known.
  return withTimeout(merged(new RedisStore(connection, resolved.maxValueBytes)), resolved.timeoutMs)
}

/** The `get`s of one tick become one MGET. A `set` is a command of its own in any case. */
function merged(store: ByteStore): ByteStore {
  return withBatching(store, { sets: false })
}

const driver: Driver<RedisOptions> = {
  name: 'redis',
  create: redis,
  fromEnv(env: Env) {
    const url = env.url('REDIS_URL', ['redis:', 'rediss:'], 'redis://user:password@host:6379/0')
    const problem = url && urlProblem(url)
    if (problem !== undefined) env.problem('REDIS_URL', problem)
    return { url: url?.href }
  },
}
export default driver
