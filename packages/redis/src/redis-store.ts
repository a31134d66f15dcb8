import type {
  ByteStore,
  CacheError,
  Consistency,
  Payload,
  ReadOptions,
  StoreLimits,
} from '@stowage/core'
import { exceeds, Lifecycle, payloadBytes, valueTooLarge } from '@stowage/core/driver'
import { type Call, Calls, type Command } from './command-executor.ts'
import { addCommand, argument, escapeGlob, optional, setCommand } from './commands.ts'
import type { Connection } from './connection/connection.ts'
import { isForeignType, translate } from './redis-errors.ts'
import type { RedisClient, ResolvedOptions } from './redis-options.ts'
import * as scripts from './scripts.ts'
import type { Topology } from './topology/topology.ts'
import type { Durability } from './wait-for-replicas.ts'

const scanCount = 1_000

/** Bytes. Half the work of this process for half as much again of the server's; from some hundred on it does not pay. */
export const largestInScript = 256

/** Entries as Redis strings, their ttl as the server's own expiry in milliseconds. */
export class RedisStore implements ByteStore {
  readonly name = 'redis'
  readonly payload = 'bytes'
  readonly limits: StoreLimits
  readonly #topology: Topology
  /** `undefined` where a write counts once the primary has it. */
  readonly #durability: Durability | undefined
  readonly #lifecycle = new Lifecycle('redis')
  readonly #calls: Calls

  constructor(topology: Topology, options: ResolvedOptions, durability?: Durability) {
    this.limits = { keyBytes: 512 * 1024 * 1024, valueBytes: options.maxValueBytes, ttlStep: 1 }
    this.#topology = topology
    this.#durability = durability
    this.#calls = new Calls(topology, options.timeoutMs, this.#lifecycle)
  }

  get(key: string, options?: ReadOptions): Promise<Payload | undefined> {
    const command: Command<Payload | undefined> = (client) =>
      client.getBuffer(key).then(orMiss, foreignIsMiss)
    return this.#read('get', [key], command, isMissing, options?.consistency)
  }

  async getMany(keys: readonly string[], options?: ReadOptions): Promise<(Payload | undefined)[]> {
    this.#lifecycle.assertOpen('getMany')
    const { consistency } = options ?? {}
    const groups = this.#topology.readGroups(keys, consistency)
    const replies = await Promise.all(groups.map((group) => this.#getGroup(group, consistency)))
    const [first] = replies
    if (replies.length === 1 && first !== undefined) return first
    const found = new Map(
      groups.flatMap((group, g) => group.map((key, k) => [key, replies[g]?.[k]])),
    )
    return keys.map((key) => found.get(key))
  }

  set(key: string, item: Payload, ttl?: number): Promise<void> {
    if (this.#exceeds(item)) return this.#refuse('set', [[key, item]])
    const command = (client: RedisClient) => setCommand(client, key, item, ttl)
    return this.#write('set', [key], command, 'idempotent')
  }

  async setMany(entries: readonly (readonly [string, Payload])[], ttl?: number): Promise<void> {
    this.#lifecycle.assertOpen('setMany')
    const refused = entries.filter(([, item]) => this.#exceeds(item))
    if (refused.length > 0) await this.#refuse('setMany', refused)
    await (ttl === undefined ? this.#setForever(entries) : this.#setEach(entries, ttl))
  }

  async add(key: string, item: Payload, ttl?: number): Promise<boolean> {
    if (this.#exceeds(item)) throw this.#valueTooLarge('add', key, item)
    const reply = await this.#write('add', [key], (client) => addCommand(client, key, item, ttl))
    return reply === 'OK'
  }

  async compareAndSet(
    key: string,
    expected: Payload,
    next: Payload | undefined,
    ttl?: number,
  ): Promise<boolean> {
    if (next !== undefined && this.#exceeds(next))
      throw this.#valueTooLarge('compareAndSet', key, next)
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
    const command = (client: RedisClient) =>
      ttl === undefined ? scripts.persist.run(client, key, []) : client.pexpire(key, ttl)
    const lives = await this.#write('touch', [key], command, 'idempotent')
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

  /** @see Fence */
  async consistencyToken(): Promise<string> {
    this.#lifecycle.assertOpen('consistencyToken')
    return this.#topology.token()
  }

  observe(token: string): void {
    this.#topology.observe(token)
  }

  close(): Promise<void> {
    return this.#lifecycle.close(async () => {
      await Promise.all([this.#topology.close(), this.#durability?.close()])
    })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async *scan(prefix: string): AsyncGenerator<string[], void, undefined> {
    this.#lifecycle.assertOpen('scan')
    const pattern = `${escapeGlob(prefix)}*`
    for (const connection of await this.#primaries('scan')) {
      let cursor = '0'
      do {
        const at = cursor
        const [next, keys] = await this.#once(connection, 'scan', (client) =>
          client.scan(at, 'MATCH', pattern, 'COUNT', scanCount),
        )
        if (keys.length > 0) yield keys
        cursor = next
      } while (cursor !== '0')
    }
  }

  #read<T>(
    operation: string,
    keys: readonly string[],
    command: Command<T>,
    lacks: (answer: T) => boolean,
    consistency: Consistency | undefined,
  ): Promise<T> {
    const reader = this.#topology.reader(keys, consistency) as Connection
    const since = performance.now()
    return this.#calls.send(reader, {
      operation,
      keys,
      command,
      kind: 'read',
      consistency,
      lacks,
      since,
    })
  }

  /** `kind` tells whether doing it twice does the same as doing it once. */
  #write<T>(
    operation: string,
    keys: readonly string[],
    command: Command<T>,
    kind: 'idempotent' | 'once' = 'once',
  ): Promise<T> {
    const connection = this.#durability?.connection ?? this.#topology.primary(keys[0] ?? '')
    const settled = this.#topology.writing(keys)
    const call: Call<T> = { operation, keys, command, kind, since: performance.now() }
    if (this.#durability === undefined) {
      const answer = this.#calls.send(connection, call)
      return settled === undefined ? answer : answer.finally(settled)
    }
    return this.#writeDurably(this.#durability, call).finally(settled)
  }

  async #writeDurably<T>(durability: Durability, call: Call<T>): Promise<T> {
    try {
      return await durability.follow(
        () => this.#calls.send(durability.connection, call),
        () => this.#calls.left(call),
      )
    } catch (error) {
      throw translate(error, call.operation, call.keys[0])
    }
  }

  async #onPrimaries(operation: string, command: Command<unknown>): Promise<void> {
    this.#lifecycle.assertOpen(operation)
    const primaries = await this.#primaries(operation)
    await Promise.all(primaries.map((each) => this.#once(each, operation, command)))
  }

  #once<T>(connection: Connection, operation: string, command: Command<T>): Promise<T> {
    const since = performance.now()
    return this.#calls.send(connection, { operation, keys: [], command, kind: 'once', since })
  }

  async #primaries(operation: string): Promise<readonly Connection[]> {
    try {
      return await this.#topology.primaries()
    } catch (error) {
      throw translate(error, operation)
    }
  }

  /** The values of keys that one command may name. */
  #getGroup(
    keys: string[],
    consistency: Consistency | undefined,
  ): Promise<(Payload | undefined)[]> {
    const command: Command<(Payload | undefined)[]> = (client) =>
      client.mgetBuffer(keys).then((replies) => replies.map(orMiss))
    return this.#read('getMany', keys, command, someMissing, consistency)
  }

  async #setForever(entries: readonly (readonly [string, Payload])[]): Promise<void> {
    const items = new Map(entries)
    const pairsOf = (keys: readonly string[]) =>
      keys.flatMap((key) => [key, argument(items.get(key) as Payload)])
    await Promise.all(
      this.#topology
        .groups([...items.keys()])
        .map((group) =>
          this.#write('setMany', group, (client) => client.mset(pairsOf(group)), 'idempotent'),
        ),
    )
  }

  /** MSET takes no expiry (before Redis 8.4): a script sets the small ones, and each large one is a command. */
  async #setEach(entries: readonly (readonly [string, Payload])[], ttl: number): Promise<void> {
    const items = new Map(entries)
    const small = [...items.keys()].filter((key) => isSmall(items.get(key) as Payload))
    const groups = this.#topology.groups(small).filter(({ length }) => length > 1)
    const grouped = new Set(groups.flat())
    const alone = [...items].filter(([key]) => !grouped.has(key))
    await Promise.all([
      ...groups.map((keys) => this.#setGroup(keys, items, ttl)),
      ...alone.map(([key, item]) => this.set(key, item, ttl)),
    ])
  }

  #setGroup(
    keys: readonly string[],
    items: ReadonlyMap<string, Payload>,
    ttl: number,
  ): Promise<unknown> {
    const values = keys.map((key) => argument(items.get(key) as Payload))
    const args = [...keys, String(ttl), ...values]
    const command = (client: RedisClient) => scripts.setEach.runOn(client, keys.length, args)
    return this.#write('setMany', keys, command, 'idempotent')
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
    for (const [key, item] of entries) throw this.#valueTooLarge(operation, key, item)
  }

  #valueTooLarge(operation: string, key: string, item: Payload): CacheError {
    this.#lifecycle.assertOpen(operation)
    return valueTooLarge(this.name, operation, key, payloadBytes(item), this.limits.valueBytes)
  }
}

/** In a script a value is copied and hashed once more, on the server: more than a command of its own costs. */
function isSmall(item: Payload): boolean {
  return !exceeds(item, largestInScript)
}

function orMiss(reply: Buffer | null): Buffer | undefined {
  return reply ?? undefined
}

function isMissing(answer: Payload | undefined): boolean {
  return answer === undefined
}

function someMissing(answer: readonly (Payload | undefined)[]): boolean {
  return answer.includes(undefined)
}

function foreignIsMiss(error: unknown): undefined {
  if (!isForeignType(error)) throw error
}
