import { randomUUID } from 'node:crypto'
import type { InvalidationBus, InvalidationListener } from '@stowage/core'
import { checkOptionNames } from '@stowage/core/driver'
import { PublishBatches } from '@stowage/core/internal'
import type { Redis } from 'ioredis'
import type { ManagedConnection } from '../connection/managed-connection.ts'
import type { ResolvedOptions } from '../redis-options.ts'
import {
  type BusConnectionOptions,
  busOptionNames,
  publisherConnection,
  resolveBusOptions,
  sendCommand,
  subscriberConnections,
} from './bus-connections.ts'
import { SubscriptionGroup } from './subscriptions.ts'

/** Maximum length of a message, in characters. A longer list of keys is replaced by "anything may have changed". */
const maxMessageLength = 64 * 1024

export interface RedisBusOptions extends BusConnectionOptions {
  /** The Pub/Sub channel. It is shared by all databases of a server. @default 'stowage:invalidate' */
  readonly channel?: string | undefined
}

/**
 * An invalidation bus over Pub/Sub. All keys published in one tick form one message. A bus does not receive its own
 * messages, and the bus does not announce expiry or writes of other programs, unless those publish too:
 * `{"from":"…","keys":["…"]}`, with `null` instead of the keys for "anything". Any other message means "anything" too.
 *
 * Messages are published on the primary and reach a replica after the change that they announce. Between the nodes of a
 * cluster a message can be lost without notice.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for invalid options
 * @throws TypeError for unknown options
 *
 * @example
 * const bus = redisBus({ url: process.env['REDIS_URL'] })
 * const copies = new Map<string, string>()
 * await bus.subscribe((keys) => {
 *   for (const key of keys ?? copies.keys()) copies.delete(key)
 * })
 * await bus.publish(['app:user:7'])
 */
export function redisBus(options: RedisBusOptions = {}): InvalidationBus {
  const resolved = resolveBusOptions(options)
  checkOptionNames<RedisBusOptions>('redis bus', options, { ...busOptionNames, channel: true })
  return new RedisBus(options, resolved)
}

class RedisBus implements InvalidationBus {
  readonly #channel: string
  readonly #senderId = randomUUID()
  readonly #subscriptions: SubscriptionGroup
  readonly #publisher: ManagedConnection
  readonly #isCluster: boolean
  readonly #batches = new PublishBatches((keys) => this.#send(keys))
  /** Whether a message may be lost. The next one then means "anything may have changed". */
  #resyncPending = false

  constructor(options: RedisBusOptions, resolved: ResolvedOptions) {
    this.#channel = options.channel ?? 'stowage:invalidate'
    this.#isCluster = (options.clusterNodes ?? []).length > 0
    this.#publisher = publisherConnection(options, resolved)
    this.#publisher.onStateChange((connected) => {
      if (connected && this.#resyncPending) this.#send([]).catch(() => {})
    })
    this.#subscriptions = new SubscriptionGroup(
      'redis bus',
      subscriberConnections(options, resolved),
      (client) => client.subscribe(this.#channel),
      (message) => this.#onMessage(String(message)),
    )
  }

  get connected(): boolean {
    return this.#subscriptions.active
  }

  publish(keys: readonly string[]): Promise<void> {
    this.#subscriptions.assertOpen('publish')
    if (keys.length === 0) return Promise.resolve()
    return this.#batches.add(keys)
  }

  subscribe(listener: InvalidationListener): Promise<() => void> {
    return this.#subscriptions.subscribe(listener)
  }

  close(): Promise<void> {
    return this.#subscriptions.close(async () => {
      await this.#batches.settled()
      await this.#publisher.close()
    })
  }

  #onMessage(text: string): void {
    const message = parse(text)
    if (message?.from !== this.#senderId) this.#subscriptions.notify(message?.keys ?? undefined)
  }

  async #send(keys: readonly string[]): Promise<void> {
    const message = this.#format(this.#resyncPending ? null : keys)
    this.#resyncPending = false
    try {
      await sendCommand(this.#publisher, 'publish', (client) => this.#publish(client, message))
    } catch (error) {
      this.#resyncPending = true
      throw error
    }
  }

  #format(keys: readonly string[] | null): string {
    const from = this.#senderId
    const text = JSON.stringify({ from, keys })
    return text.length <= maxMessageLength ? text : JSON.stringify({ from, keys: null })
  }

  /** A replica accepts PUBLISH but delivers it only to its own subscribers, so the role is checked. */
  async #publish(client: Redis, message: string): Promise<void> {
    const role = this.#isCluster ? undefined : client.role().catch(() => undefined)
    await client.publish(this.#channel, message)
    if ((await role)?.[0] === 'slave') throw readOnlyError()
  }
}

interface Message {
  readonly from: unknown
  readonly keys: readonly string[] | null
}

/** Returns `undefined` for a text that is not a message of a bus. */
function parse(text: string): Message | undefined {
  try {
    const { from, keys } = JSON.parse(text)
    const isList = Array.isArray(keys) && keys.every((key) => typeof key === 'string')
    return { from, keys: isList ? keys : null }
  } catch {
    return undefined
  }
}

/** The error with which a replica rejects a write. */
function readOnlyError(): Error {
  const error = new Error('READONLY A message published on a replica does not reach the others.')
  error.name = 'ReplyError'
  return error
}
