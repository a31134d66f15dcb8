import { randomUUID } from 'node:crypto'
import type { InvalidationBus, InvalidationListener } from '@stowage/core'
import type { Redis } from 'ioredis'
import type { OwnConnection } from '../connection/connection.ts'
import type { ResolvedOptions } from '../redis-options.ts'
import {
  type BusConnectionOptions,
  connectionsOf,
  Listening,
  publisherOf,
  resolveListening,
  send,
} from './subscriptions.ts'

/** A message that would be longer, in characters, says that anything may have changed. */
const longestMessage = 64 * 1024

export interface RedisBusOptions extends BusConnectionOptions {
  /** Where messages are published; one for all databases of a server. @default 'stowage:invalidate' */
  readonly channel?: string | undefined
}

/**
 * Changes are told by publishing them (`PUBLISH`), all those of one tick in one message. A process is not told of its
 * own, nor of what expires or is written by other programs, unless they publish too: `{"from":"…","keys":["…"]}`, with
 * `null` for "anything". What is no such message counts as "anything".
 *
 * A message is published on the primary, and reaches a replica after the change it tells of. Between the nodes of a
 * cluster one can be lost unnoticed.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for options that cannot work
 */
export function redisBus(options: RedisBusOptions = {}): InvalidationBus {
  return new RedisBus(options, resolveListening(options))
}

class RedisBus implements InvalidationBus {
  readonly #channel: string
  readonly #sender = randomUUID()
  readonly #listening: Listening
  readonly #publisher: OwnConnection
  readonly #inCluster: boolean
  #batch: Batch | undefined
  /** A message has not reached the others, or may not have. */
  #owing = false

  constructor(options: RedisBusOptions, resolved: ResolvedOptions) {
    this.#channel = options.channel ?? 'stowage:invalidate'
    this.#inCluster = (options.clusterNodes ?? []).length > 0
    this.#publisher = publisherOf(options, resolved)
    this.#publisher.onChange((up) => {
      if (up && this.#owing) this.#send([]).catch(() => {})
    })
    this.#listening = new Listening(
      'redis bus',
      connectionsOf(options, resolved),
      (client) => client.subscribe(this.#channel),
      (message) => this.#hear(String(message)),
    )
  }

  get connected(): boolean {
    return this.#listening.active
  }

  publish(keys: readonly string[]): Promise<void> {
    this.#listening.assertOpen('publish')
    if (keys.length === 0) return Promise.resolve()
    this.#batch ??= new Batch((all) => {
      this.#batch = undefined
      return this.#send(all)
    })
    return this.#batch.add(keys)
  }

  subscribe(listener: InvalidationListener): Promise<() => void> {
    return this.#listening.subscribe(listener)
  }

  close(): Promise<void> {
    return this.#listening.close(async () => {
      await this.#batch?.sent.catch(() => {})
      await this.#publisher.close()
    })
  }

  #hear(text: string): void {
    const message = parse(text)
    if (message?.from !== this.#sender) this.#listening.tell(message?.keys ?? undefined)
  }

  async #send(keys: readonly string[]): Promise<void> {
    const message = this.#message(this.#owing ? null : keys)
    this.#owing = false
    try {
      await send(this.#publisher, 'publish', (client) => this.#publish(client, message))
    } catch (error) {
      this.#owing = true
      throw error
    }
  }

  #message(keys: readonly string[] | null): string {
    const from = this.#sender
    const text = JSON.stringify({ from, keys })
    return text.length <= longestMessage ? text : JSON.stringify({ from, keys: null })
  }

  /** A replica takes a message and tells nobody but its own listeners, so it is asked what it is. */
  async #publish(client: Redis, message: string): Promise<void> {
    const role = this.#inCluster ? undefined : client.role().catch(() => undefined)
    await client.publish(this.#channel, message)
    if ((await role)?.[0] === 'slave') throw readOnly()
  }
}

/** What is published in one tick. */
class Batch {
  readonly #keys = new Set<string>()
  readonly sent: Promise<void>

  constructor(send: (keys: readonly string[]) => Promise<void>) {
    const tick = new Promise<void>((resolve) => process.nextTick(resolve))
    this.sent = tick.then(() => send([...this.#keys]))
  }

  add(keys: readonly string[]): Promise<void> {
    for (const key of keys) this.#keys.add(key)
    return this.sent
  }
}

interface Message {
  readonly from: unknown
  readonly keys: readonly string[] | null
}

/** `undefined` for what is no message of a bus. */
function parse(text: string): Message | undefined {
  try {
    const { from, keys } = JSON.parse(text)
    const isList = Array.isArray(keys) && keys.every((key) => typeof key === 'string')
    return { from, keys: isList ? keys : null }
  } catch {
    return undefined
  }
}

/** As the server says it to a write. */
function readOnly(): Error {
  const error = new Error('READONLY A message published on a replica does not reach the others.')
  error.name = 'ReplyError'
  return error
}
