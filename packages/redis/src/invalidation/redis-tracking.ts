import { CacheError, type InvalidationBus, type InvalidationListener } from '@stowage/core'
import type { Redis } from 'ioredis'
import { translate } from '../redis-errors.ts'
import type { ResolvedOptions } from '../redis-options.ts'
import {
  type BusConnectionOptions,
  connectionsOf,
  Listening,
  resolveListening,
} from './subscriptions.ts'

/** Where version 2 of the protocol tells: https://redis.io/docs/latest/develop/reference/client-side-caching/ */
const channel = '__redis__:invalidate'

export interface RedisTrackingOptions extends BusConnectionOptions {
  /** How the storage keys begin whose changes are told. @default all keys */
  readonly prefixes?: readonly string[] | undefined
}

/**
 * The changes as the server sees them (`CLIENT TRACKING … BCAST`): by whatever client, this process included, by
 * expiry and by eviction too. Nothing has to be published. The server does not say in which database: the same key of
 * another one is told as well. It takes Redis 6 or Valkey, and the permission to `client|id` and `client|tracking`.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for options that cannot work, those of a cluster among them. `subscribe`
 * rejects with `ERR_CACHE_UNSUPPORTED` where the server refuses.
 */
export function redisTracking(options: RedisTrackingOptions = {}): InvalidationBus {
  const resolved = resolveListening(options)
  const { clusterNodes = [], prefixes = [''] } = options
  if (clusterNodes.length === 0) return new RedisTracking(options, resolved, distinct(prefixes))
  throw new CacheError(
    'ERR_CACHE_CONFIG',
    'redis: tracking follows single servers, not the nodes of a cluster. Use redisBus.',
  )
}

class RedisTracking implements InvalidationBus {
  readonly #listening: Listening

  constructor(
    options: BusConnectionOptions,
    resolved: ResolvedOptions,
    prefixes: readonly string[],
  ) {
    this.#listening = new Listening(
      'redis tracking',
      connectionsOf(options, resolved),
      (client) => track(client, prefixes),
      (keys) => this.#listening.tell((keys as Buffer[] | null)?.map(String)),
    )
  }

  get connected(): boolean {
    return this.#listening.active
  }

  publish(): void {
    this.#listening.assertOpen('publish')
  }

  subscribe(listener: InvalidationListener): Promise<() => void> {
    return this.#listening.subscribe(listener)
  }

  close(): Promise<void> {
    return this.#listening.close()
  }
}

/** The connection is redirected to itself: version 2 of the protocol knows no other way to listen on it. */
async function track(client: Redis, prefixes: readonly string[]): Promise<void> {
  const which = prefixes.flatMap((prefix) => ['PREFIX', prefix])
  const on = (id: unknown) =>
    client.call('CLIENT', 'TRACKING', 'ON', 'REDIRECT', String(id), 'BCAST', ...which)
  try {
    await client.call('CLIENT', 'ID').then(on)
    await client.subscribe(channel)
  } catch (error) {
    throw refusal(translate(error, 'subscribe'))
  }
}

/** Prefixes of one connection must not overlap; the shorter one covers the longer. */
function distinct(prefixes: readonly string[]): string[] {
  const covered = (prefix: string) =>
    prefixes.some((other) => other !== prefix && prefix.startsWith(other))
  return [...new Set(prefixes)].filter((prefix) => !covered(prefix))
}

function refusal(cause: CacheError): CacheError {
  if (cause.code !== 'ERR_CACHE_REJECTED') return cause
  return new CacheError(
    'ERR_CACHE_UNSUPPORTED',
    'redis: the server does not let this connection track changes. That takes Redis 6 or Valkey, and a user with ' +
      `+client|id +client|tracking +subscribe &${channel}. Where it cannot be had, use redisBus.`,
    { store: 'redis', operation: 'subscribe', cause },
  )
}
