import { CacheError, type InvalidationBus, type InvalidationListener } from '@stowage/core'
import { checkOptionNames } from '@stowage/core/driver'
import type { Redis } from 'ioredis'
import { translate } from '../redis-errors.ts'
import type { ResolvedOptions } from '../redis-options.ts'
import {
  type BusConnectionOptions,
  busOptionNames,
  resolveBusOptions,
  subscriberConnections,
} from './bus-connections.ts'
import { SubscriptionGroup } from './subscriptions.ts'

/** The channel of RESP2 invalidations: https://redis.io/docs/latest/develop/reference/client-side-caching/ */
const channel = '__redis__:invalidate'

export interface RedisTrackingOptions extends BusConnectionOptions {
  /** Prefixes of the storage keys whose changes are announced. @default all keys */
  readonly prefixes?: readonly string[] | undefined
}

/**
 * An invalidation bus over the server's key tracking (`CLIENT TRACKING … BCAST`). The server announces every change: by
 * any client, this process included, by expiry and by eviction. `publish` does nothing. The server does not report the
 * database, so changes of the same key in other databases are announced too. Requires Redis 6 or Valkey, and the
 * permissions `client|id` and `client|tracking`.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for invalid options, such as `clusterNodes`. `subscribe` rejects with
 * `ERR_CACHE_UNSUPPORTED` if the server refuses tracking.
 * @throws TypeError for unknown options
 *
 * @example
 * const bus = redisTracking({ url: process.env['REDIS_URL'], prefixes: ['app:'] })
 * const copies = new Map<string, string>()
 * await bus.subscribe((keys) => {
 *   for (const key of keys ?? copies.keys()) copies.delete(key)
 * })
 */
export function redisTracking(options: RedisTrackingOptions = {}): InvalidationBus {
  const resolved = resolveBusOptions(options)
  const names = { ...busOptionNames, prefixes: true } as const
  checkOptionNames<RedisTrackingOptions>('redis tracking', options, names)
  const { clusterNodes = [], prefixes = [''] } = options
  if (clusterNodes.length === 0) {
    return new RedisTracking(options, resolved, withoutOverlaps(prefixes))
  }
  throw new CacheError(
    'ERR_CACHE_CONFIG',
    'redis: clusterNodes is not supported by redisTracking, which tracks the keys of single servers. Use redisBus.',
  )
}

class RedisTracking implements InvalidationBus {
  readonly #subscriptions: SubscriptionGroup

  constructor(
    options: BusConnectionOptions,
    resolved: ResolvedOptions,
    prefixes: readonly string[],
  ) {
    this.#subscriptions = new SubscriptionGroup(
      'redis tracking',
      subscriberConnections(options, resolved),
      (client) => startTracking(client, prefixes),
      (keys) => this.#subscriptions.notify((keys as Buffer[] | null)?.map(String)),
    )
  }

  get connected(): boolean {
    return this.#subscriptions.active
  }

  publish(): void {
    this.#subscriptions.assertOpen('publish')
  }

  subscribe(listener: InvalidationListener): Promise<() => void> {
    return this.#subscriptions.subscribe(listener)
  }

  close(): Promise<void> {
    return this.#subscriptions.close()
  }
}

/** Redirects invalidations to the connection itself: RESP2 has no other way to receive them on it. */
async function startTracking(client: Redis, prefixes: readonly string[]): Promise<void> {
  const prefixArguments = prefixes.flatMap((prefix) => ['PREFIX', prefix])
  const trackOn = (id: unknown) =>
    client.call('CLIENT', 'TRACKING', 'ON', 'REDIRECT', String(id), 'BCAST', ...prefixArguments)
  try {
    await client.call('CLIENT', 'ID').then(trackOn)
    await client.subscribe(channel)
  } catch (error) {
    throw unsupported(translate(error, 'subscribe'))
  }
}

/** The prefixes of one connection must not overlap. A shorter prefix covers the longer ones. */
function withoutOverlaps(prefixes: readonly string[]): string[] {
  const isCovered = (prefix: string) =>
    prefixes.some((other) => other !== prefix && prefix.startsWith(other))
  return [...new Set(prefixes)].filter((prefix) => !isCovered(prefix))
}

function unsupported(cause: CacheError): CacheError {
  if (cause.code !== 'ERR_CACHE_REJECTED') return cause
  return new CacheError(
    'ERR_CACHE_UNSUPPORTED',
    'redis subscribe failed: the server refused to track changes. Tracking requires Redis 6 or Valkey, and a user ' +
      `with +client|id +client|tracking +subscribe &${channel}. Otherwise use redisBus.`,
    { store: 'redis', operation: 'subscribe', cause },
  )
}
