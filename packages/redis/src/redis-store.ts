import {
  type ByteStore,
  type CacheError,
  exceeds,
  Lifecycle,
  oversized,
  type Payload,
  payloadBytes,
  type StoreLimits,
} from '@stowage/core'
import { addCommand, argument, escapeGlob, optional, setCommand } from './commands.ts'
import type { Connection } from './connection.ts'
import { isForeignType, isUnreachable, translate } from './redis-errors.ts'
import type { RedisClient } from './redis-options.ts'
import * as scripts from './scripts.ts'
import type { Topology } from './topology.ts'

const scanCount = 1_000

type Command<T> = (client: RedisClient) => Promise<T>

/** Entries as Redis strings, their ttl as the server's own expiry in milliseconds. */
export class RedisStore implements ByteStore {
  readonly name = 'redis'
  readonly payload = 'bytes'
  readonly limits: StoreLimits
  readonly #topology: Topology
  readonly #lifecycle = new Lifecycle('redis')

  constructor(topology: Topology, maxValueBytes: number) {
    this.limits = { keyBytes: 512 * 1024 * 1024, valueBytes: maxValueBytes, ttlStep: 1 }
    this.#topology = topology
  }

  get(key: string): Promise<Payload | undefined> {
    return this.#read('get', [key], (client) => client.getBuffer(key).then(orMiss, foreignIsMiss))
  }

  async getMany(keys: readonly string[]): Promise<(Payload | undefined)[]> {
    this.#lifecycle.assertOpen('getMany')
    const groups = this.#topology.groups(keys)
    const replies = await Promise.all(groups.map((group) => this.#getGroup(group)))
    const [first] = replies
    if (replies.length === 1 && first !== undefined) return first
    const found = new Map(
      groups.flatMap((group, g) => group.map((key, k) => [key, replies[g]?.[k]])),
    )
    return keys.map((key) => found.get(key))
  }

  async set(key: string, item: Payload, ttl?: number): Promise<void> {
    if (this.#exceeds(item)) await this.#refuse('set', [[key, item]])
    await this.#write('set', [key], (client) => setCommand(client, key, item, ttl))
  }

  async setMany(entries: readonly (readonly [string, Payload])[], ttl?: number): Promise<void> {
    this.#lifecycle.assertOpen('setMany')
    const refused = entries.filter(([, item]) => this.#exceeds(item))
    if (refused.length > 0) await this.#refuse('setMany', refused)
    await (ttl === undefined ? this.#setForever(entries) : this.#setEach(entries, ttl))
  }

  async add(key: string, item: Payload, ttl?: number): Promise<boolean> {
    if (this.#exceeds(item)) throw this.#oversized('add', key, item)
    const reply = await this.#write('add', [key], (client) => addCommand(client, key, item, ttl))
    return reply === 'OK'
  }

  async compareAndSet(
    key: string,
    expected: Payload,
    next: Payload | undefined,
    ttl?: number,
  ): Promise<boolean> {
    if (next !== undefined && this.#exceeds(next)) throw this.#oversized('compareAndSet', key, next)
    const seen = argument(expected)
    const done = await this.#write('compareAndSet', [key], (client) =>
      next === undefined
        ? scripts.compareAndDelete.run(client, key, [seen])
        : scripts.compareAndSet.run(client, key, [seen, argument(next), optional(ttl)]),
    )
    return done === 1
  }

  increment(key: string, by: number, ttl?: number): Promise<number> {
    return this.#write('increment', [key], (client) =>
      scripts.increment.run(client, key, [String(by), optional(ttl)]),
    )
  }

  async touch(key: string, ttl?: number): Promise<boolean> {
    const lives = await this.#write('touch', [key], (client) =>
      ttl === undefined ? scripts.persist.run(client, key, []) : client.pexpire(key, ttl),
    )
    return lives === 1
  }

  async delete(key: string): Promise<boolean> {
    return (await this.#write('delete', [key], (client) => client.unlink(key))) === 1
  }

  async deleteMany(keys: readonly string[]): Promise<number> {
    this.#lifecycle.assertOpen('deleteMany')
    const counts = await Promise.all(
      this.#topology
        .groups(keys)
        .map((group) => this.#write('deleteMany', group, (client) => client.unlink(...group))),
    )
    return counts.reduce((sum, count) => sum + count, 0)
  }

  async clear(): Promise<void> {
    const settled = this.#topology.writing(undefined)
    try {
      await this.#onPrimaries('clear', (client) => client.flushdb('ASYNC'))
    } finally {
      settled?.()
    }
  }

  async ping(): Promise<void> {
    await this.#onPrimaries('ping', (client) => client.ping())
  }

  close(): Promise<void> {
    return this.#lifecycle.close(() => this.#topology.close())
  }

  async *scan(prefix: string): AsyncGenerator<string[], void, undefined> {
    this.#lifecycle.assertOpen('scan')
    const pattern = `${escapeGlob(prefix)}*`
    for (const connection of await this.#primaries('scan')) {
      let cursor = '0'
      do {
        const at = cursor
        const [next, keys] = await this.#send(connection, 'scan', undefined, (client) =>
          client.scan(at, 'MATCH', pattern, 'COUNT', scanCount),
        )
        if (keys.length > 0) yield keys
        cursor = next
      } while (cursor !== '0')
    }
  }

  /** A read may be answered by a replica; where that one fails, the primary is asked. */
  #read<T>(operation: string, keys: readonly string[], command: Command<T>): Promise<T> {
    const [key = ''] = keys
    const reader = this.#topology.reader(keys)
    const primary = this.#topology.primary(key)
    const answer = this.#send(reader, operation, key, command)
    if (reader === primary) return answer
    return answer.catch((error: unknown) => {
      if (!isUnreachable(error)) throw error
      return this.#send(primary, operation, key, command)
    })
  }

  #write<T>(operation: string, keys: readonly string[], command: Command<T>): Promise<T> {
    const [key = ''] = keys
    const settled = this.#topology.writing(keys)
    const answer = this.#send(this.#topology.primary(key), operation, key, command)
    return settled === undefined ? answer : answer.finally(settled)
  }

  async #onPrimaries(operation: string, command: Command<unknown>): Promise<void> {
    this.#lifecycle.assertOpen(operation)
    const primaries = await this.#primaries(operation)
    await Promise.all(primaries.map((each) => this.#send(each, operation, undefined, command)))
  }

  async #primaries(operation: string): Promise<readonly Connection[]> {
    try {
      return await this.#topology.primaries()
    } catch (error) {
      throw translate(error, operation)
    }
  }

  /** The values of keys that one command may name. */
  #getGroup(keys: string[]): Promise<(Payload | undefined)[]> {
    return this.#read('getMany', keys, (client) =>
      client.mgetBuffer(keys).then((replies) => replies.map(orMiss)),
    )
  }

  /** Sends a command as soon as there is a connection, together with all others of this tick. */
  async #send<T>(
    connection: Connection,
    operation: string,
    key: string | undefined,
    command: Command<T>,
  ): Promise<T> {
    this.#lifecycle.assertOpen(operation)
    try {
      const waiting = connection.ready()
      if (waiting !== undefined) await waiting
    } catch (error) {
      throw translate(error, operation, key)
    }
    connection.begin()
    try {
      return await command(connection.client)
    } catch (error) {
      throw translate(connection.failed(error), operation, key)
    } finally {
      connection.end()
    }
  }

  async #setForever(entries: readonly (readonly [string, Payload])[]): Promise<void> {
    const items = new Map(entries)
    const pairsOf = (keys: readonly string[]) =>
      keys.flatMap((key) => [key, argument(items.get(key) as Payload)])
    await Promise.all(
      this.#topology
        .groups([...items.keys()])
        .map((group) => this.#write('setMany', group, (client) => client.mset(pairsOf(group)))),
    )
  }

  /**
   * MSET takes no expiry (before Redis 8.4), so each entry is a command; they leave in one write. A script that sets
   * them all saves commands and costs more time, on the server.
   */
  async #setEach(entries: readonly (readonly [string, Payload])[], ttl: number): Promise<void> {
    await Promise.all(
      entries.map(([key, item]) =>
        this.#write('setMany', [key], (client) => setCommand(client, key, item, ttl)),
      ),
    )
  }

  #exceeds(item: Payload): boolean {
    return exceeds(item, this.limits.valueBytes)
  }

  /** The caller meant to replace the old values; they must not be served as if nothing had happened. */
  async #refuse(
    operation: string,
    entries: readonly (readonly [string, Payload])[],
  ): Promise<void> {
    await this.deleteMany(entries.map(([key]) => key))
    for (const [key, item] of entries) throw this.#oversized(operation, key, item)
  }

  #oversized(operation: string, key: string, item: Payload): CacheError {
    this.#lifecycle.assertOpen(operation)
    return oversized(this.name, operation, key, payloadBytes(item), this.limits.valueBytes)
  }
}

function orMiss(reply: Buffer | null): Buffer | undefined {
  return reply ?? undefined
}

function foreignIsMiss(error: unknown): undefined {
  if (!isForeignType(error)) throw error
}
