import type { Driver, Env } from '@stowage/core/driver'
import memcachedDriver, { type MemcachedOptions } from '@stowage/memcached'

/**
 * A driver of this application: the memcached driver with variables of its own. An option is passed only where its
 * variable exists. Without `ELASTICACHE_ENDPOINT` it is a plain memcached on this machine.
 */
const elasticache: Driver<MemcachedOptions> = {
  ...memcachedDriver,
  name: 'elasticache',
  fromEnv: (env) => ({ ...placeOf(env), ...credentialsOf(env), ...optionsOf(env) }),
}
export default elasticache

function placeOf(env: Env): MemcachedOptions {
  const endpoint = env.text('ELASTICACHE_ENDPOINT')
  if (endpoint === undefined) return { servers: ['127.0.0.1:11211'] }
  // AWS returns the nodes. A plain memcached, on a laptop, cannot: then it is the only node, with one warning.
  return { configurationEndpoint: endpoint }
}

/** Both or none, as in Laravel. */
function credentialsOf(env: Env): MemcachedOptions {
  const username = env.text('ELASTICACHE_USERNAME')
  const password = env.text('ELASTICACHE_PASSWORD')
  if (username !== undefined && password !== undefined) return { username, password }
  if (username !== undefined) env.problem('ELASTICACHE_PASSWORD', 'is missing. Set both or none.')
  if (password !== undefined) env.problem('ELASTICACHE_USERNAME', 'is missing. Set both or none.')
  return {}
}

/** `undefined` is an option that is not passed: the driver uses its default. */
function optionsOf(env: Env): MemcachedOptions {
  return {
    tls: env.flag('ELASTICACHE_TLS'),
    timeout: env.duration('ELASTICACHE_TIMEOUT'),
    connectTimeout: env.duration('ELASTICACHE_TIMEOUT'),
    pollInterval: env.duration('ELASTICACHE_POLL_INTERVAL'),
    hashing: env.choice('ELASTICACHE_HASHING', ['ketama', 'consistent', 'modula']),
  }
}
