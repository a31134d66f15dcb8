import {
  type ByteStore,
  exceeds,
  Lifecycle,
  oversized,
  type Payload,
  payloadBytes,
  type StoreLimits,
  toBytes,
} from '@stowage/core'
import type { Connection } from './connection.ts'
import { isForeignType, translate } from './redis-errors.ts'
import type { RedisClient } from './redis-options.ts'
import * as scripts from './scripts.ts'

/** Keys per MGET, MSET or UNLINK: one command blocks the server while it runs. */
const chunkSize = 500
const scanCount = 1_000

/** Entries as Redis strings, their ttl as the server's own expiry in milliseconds. */
export class RedisStore implements ByteStore {
  readonly name = 'redis'
  readonly payload = 'bytes'
  readonly limits: StoreLimits
  readonly #connection: Connection
  readonly #lifecycle = new Lifecycle('redis')

  constructor(connection: Connection, maxValueBytes: number) {
    this.limits = { keyBytes: 512 * 1024 * 1024, valueBytes: maxValueBytes, ttlStep: 1 }
    this.#connection = connection
  }

  get(key: string): Promise<Payload | undefined> {
    return this.#run('get', key, (client) => client.getBuffer(key).then(orMiss, foreignIsMiss))
  }

  async getMany(keys: readonly string[]): Promise<(Payload | undefined)[]> {
    const pages = await this.#inChunks('getMany', keys, (client, chunk) => client.mgetBuffer(chunk))
    const replies = pages.length === 1 ? (pages[0] ?? []) : pages.flat()
    return replies.map(orMiss)
  }

  async set(key: string, item: Payload, ttl?: number): Promise<void> {
    if (this.#exceeds(item)) await this.#refuse('set', key, item)
    await this.#run('set', key, (client) => setCommand(client, key, item, ttl))
  }

  async setMany(entries: readonly (readonly [string, Payload])[], ttl?: number): Promise<void> {
    this.#lifecycle.assertOpen('setMany')
    for (const [key, item] of entries) {
      if (this.#exceeds(item)) await this.#refuse('setMany', key, item)
    }
    await (ttl === undefined ? this.#setForever(entries) : this.#setEach(entries, ttl))
  }

  async add(key: string, item: Payload, ttl?: number): Promise<boolean> {
    if (this.#exceeds(item)) await this.#refuse('add', key, item)
    const reply = await this.#run('add', key, (client) =>
      ttl === undefined
        ? client.set(key, argument(item), 'NX')
        : client.set(key, argument(item), 'PX', ttl, 'NX'),
    )
    return reply === 'OK'
  }

  async compareAndSet(
    key: string,
    expected: Payload,
    next: Payload | undefined,
    ttl?: number,
  ): Promise<boolean> {
    if (next !== undefined && this.#exceeds(next)) await this.#refuse('compareAndSet', key, next)
    const done = await this.#run('compareAndSet', key, (client) =>
      next === undefined
        ? scripts.compareAndDelete.run(client, key, [argument(expected)])
        : scripts.compareAndSet.run(client, key, [
            argument(expected),
            argument(next),
            optional(ttl),
          ]),
    )
    return done === 1
  }

  increment(key: string, by: number, ttl?: number): Promise<number> {
    return this.#run('increment', key, (client) =>
      scripts.increment.run(client, key, [String(by), optional(ttl)]),
    )
  }

  async touch(key: string, ttl?: number): Promise<boolean> {
    const lives = await this.#run('touch', key, (client) =>
      ttl === undefined ? scripts.persist.run(client, key, []) : client.pexpire(key, ttl),
    )
    return lives === 1
  }

  async delete(key: string): Promise<boolean> {
    return (await this.#run('delete', key, (client) => client.unlink(key))) === 1
  }

  async deleteMany(keys: readonly string[]): Promise<number> {
    const counts = await this.#inChunks('deleteMany', keys, (client, chunk) =>
      client.unlink(...chunk),
    )
    return counts.reduce((sum, count) => sum + count, 0)
  }

  async clear(): Promise<void> {
    await this.#run('clear', undefined, (client) => client.flushdb('ASYNC'))
  }

  async ping(): Promise<void> {
    await this.#run('ping', undefined, (client) => client.ping())
  }

  close(): Promise<void> {
    return this.#lifecycle.close(() => this.#connection.close())
  }

  async *scan(prefix: string): AsyncGenerator<string[], void, undefined> {
    const pattern = `${escapeGlob(prefix)}*`
    let cursor = '0'
    do {
      const at = cursor
      const [next, keys] = await this.#run('scan', undefined, (client) =>
        client.scan(at, 'MATCH', pattern, 'COUNT', scanCount),
      )
      if (keys.length > 0) yield keys
      cursor = next
    } while (cursor !== '0')
  }

  /** Sends a command as soon as there is a connection, together with all others of this tick. */
  async #run<T>(
    operation: string,
    key: string | undefined,
    command: (client: RedisClient) => Promise<T>,
  ): Promise<T> {
    this.#lifecycle.assertOpen(operation)
    const connection = this.#connection
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
      throw translate(connection.reasonFor(error), operation, key)
    } finally {
      connection.end()
    }
  }

  #inChunks<T>(
    operation: string,
    keys: readonly string[],
    command: (client: RedisClient, chunk: string[]) => Promise<T>,
  ): Promise<T[]> {
    this.#lifecycle.assertOpen(operation)
    const chunks = chunked(keys)
    return Promise.all(
      chunks.map((chunk) => this.#run(operation, undefined, (client) => command(client, chunk))),
    )
  }

  async #setForever(entries: readonly (readonly [string, Payload])[]): Promise<void> {
    await Promise.all(
      chunked(entries).map((chunk) =>
        this.#run('setMany', undefined, (client) =>
          client.mset(chunk.flatMap(([key, item]) => [key, argument(item)])),
        ),
      ),
    )
  }

  /**
   * MSET takes no expiry (before Redis 8.4), so each entry is a command; they leave in one write. A script that sets
   * them all saves commands and costs more time, on the server.
   */
  async #setEach(entries: readonly (readonly [string, Payload])[], ttl: number): Promise<void> {
    await Promise.all(
      entries.map(([key, item]) =>
        this.#run('setMany', key, (client) => setCommand(client, key, item, ttl)),
      ),
    )
  }

  #exceeds(item: Payload): boolean {
    return exceeds(item, this.limits.valueBytes)
  }

  async #refuse(operation: string, key: string, item: Payload): Promise<never> {
    this.#lifecycle.assertOpen(operation)
    // The caller meant to replace the old value; it must not be served as if nothing had happened.
    if (operation === 'set' || operation === 'setMany') await this.delete(key)
    throw oversized(this.name, operation, key, payloadBytes(item), this.limits.valueBytes)
  }
}

function setCommand(client: RedisClient, key: string, item: Payload, ttl: number | undefined) {
  return ttl === undefined
    ? client.set(key, argument(item))
    : client.set(key, argument(item), 'PX', ttl)
}

function argument(item: Payload): scripts.Argument {
  return typeof item === 'string' ? item : toBytes(item)
}

function optional(ttl: number | undefined): string {
  return ttl === undefined ? '' : String(ttl)
}

function orMiss(reply: Buffer | null): Buffer | undefined {
  return reply ?? undefined
}

function foreignIsMiss(error: unknown): undefined {
  if (!isForeignType(error)) throw error
}

function chunked<T>(list: readonly T[]): T[][] {
  const chunks: T[][] = []
  for (let start = 0; start < list.length; start += chunkSize) {
    chunks.push(list.slice(start, start + chunkSize))
  }
  return chunks
}

/** Takes their meaning from the characters of a glob: https://redis.io/docs/latest/commands/keys/ */
function escapeGlob(text: string): string {
  return text.replace(/[*?[\]\\^-]/g, '\\$&')
}
