import { Env, type Variables } from '@stowage/core/driver'
import { warnOnce } from '../warn-once.ts'

/**
 * Warns once if sessions are stored on replicated Redis without waiting for a replica: after a failover, the new primary
 * may have a session whose logout was acknowledged.
 */
export function warnOfLostLogouts(variables: Variables): void {
  const env = new Env(variables, 'session')
  const driver = env.text('SESSION_DRIVER') ?? env.text('CACHE_DRIVER')
  const topology = ['REDIS_REPLICAS', 'REDIS_SENTINELS', 'REDIS_CLUSTER_NODES'].find(
    (name) => env.text(name) !== undefined,
  )
  const waits = (env.integer('REDIS_WAIT_REPLICAS') ?? 0) > 0
  if (driver !== 'redis' || topology === undefined || waits) return
  warnOnce(
    'STOWAGE_LOST_LOGOUTS',
    `Sessions are stored on replicated Redis (${topology}) without REDIS_WAIT_REPLICAS. After a failover, a session may ` +
      'exist again although its logout was acknowledged. Set SESSION_REDIS_WAIT_REPLICAS to the number of replicas.',
  )
}
