import type { CacheOperation } from '@stowage/core'

/**
 * All names of spans, attributes and metrics. OpenTelemetry has no conventions for caches yet. The names that begin with
 * `cache.` are those that tracing products display today.
 *
 * @see https://github.com/open-telemetry/semantic-conventions/issues/1747
 * @see https://opentelemetry.io/docs/specs/semconv/database/database-spans/
 */
export const attributes = {
  cache: 'stowage.cache',
  driver: 'stowage.driver',
  operation: 'stowage.operation',
  outcome: 'stowage.outcome',
  keyCount: 'stowage.keys',
  attempt: 'stowage.attempt',
  background: 'stowage.background',
  hit: 'cache.hit',
  key: 'cache.key',
  itemSize: 'cache.item_size',
  errorType: 'error.type',
  database: 'db.system.name',
  databaseOperation: 'db.operation.name',
  databaseCollection: 'db.collection.name',
  serverAddress: 'server.address',
  serverPort: 'server.port',
} as const

export const loadSpan = 'cache.load'
export const batchSpan = 'cache.batch'

/** The name of the span of each operation; `undefined` for none. */
export const callSpans: Readonly<Record<CacheOperation, string | undefined>> = {
  get: 'cache.get',
  getMany: 'cache.get',
  pull: 'cache.get',
  snapshot: 'cache.get',
  remember: 'cache.get',
  rememberMany: 'cache.get',
  keys: 'cache.get',
  set: 'cache.put',
  setMany: 'cache.put',
  add: 'cache.put',
  replace: 'cache.put',
  update: 'cache.put',
  increment: 'cache.put',
  touch: 'cache.put',
  delete: 'cache.remove',
  deleteMany: 'cache.remove',
  expire: 'cache.remove',
  invalidateTags: 'cache.remove',
  clear: 'cache.flush',
  ping: undefined,
  lock: undefined,
  rateLimit: undefined,
  concurrency: undefined,
}

/** `db.system.name` of the drivers whose names differ. */
export const databases: Readonly<Record<string, string>> = { dynamodb: 'aws.dynamodb' }

export const durations = {
  operation: 'stowage.cache.operation.duration',
  load: 'stowage.cache.load.duration',
} as const
