import type {
  ByteStore,
  CacheError,
  Consistency,
  Payload,
  ReadOptions,
  StoreLimits,
} from '@stowage/core'
import { exceeds, Lifecycle, payloadBytes, valueTooLarge } from '@stowage/core/driver'
import { type Command, CommandExecutor } from './command-executor.ts'
import {
  addCommand,
  escapeGlob,
  setCommand,
  toArgument,
  ttlArgument,
} from './commands/arguments.ts'
import * as scripts from './commands/scripts.ts'
import { SetGroup } from './commands/set-group.ts'
import type { CommandClient } from './protocol/command-client.ts'
import { isWrongType } from './redis-errors.ts'
import type { ResolvedOptions } from './redis-options.ts'
import type { Topology } from './topology/topology.ts'
import type { ReplicaWait } from './wait-for-replicas.ts'

type Entries = readonly (readonly [key: string, item: Payload])[]

const keysPerScan = 1_000

/** Stores entries as Redis strings, and a ttl as the server's expiry in milliseconds. */
export class RedisStore implements ByteStore {
  readonly name = 'redis'
  readonly payload = 'bytes'
  readonly limits: StoreLimits
  readonly #topology: Topology
  readonly #replicaWait: ReplicaWait | undefined
  readonly #lifecycle = new Lifecycle('redis')
  readonly #executor: CommandExecutor

  constructor(
    topology: Topology,
    { maxValueBytes, timeoutMs }: ResolvedOptions,
    replicaWait?: ReplicaWait,
  ) {
    this.limits = { keyBytes: 512 * 1024 * 1024, valueBytes: maxValueBytes, ttlStep: 1 }
    this.#topology = topology
    this.#replicaWait = replicaWait
    this.#executor = new CommandExecutor(topology, this.#lifecycle, timeoutMs, replicaWait)
  }

  get(key: string, options?: ReadOptions): Promise<Payload | undefined> {
    const command: Command<Payload | undefined> = (client) =>
      client.getBuffer(key).then(orUndefined, missIfWrongType)
    return this.#executor.read('get', [key], command, isMissing, options?.consistency)
  }

  async getMany(keys: readonly string[], options?: ReadOptions): Promise<(Payload | undefined)[]> {
    this.#lifecycle.assertOpen('getMany')
    const { consistency } = options ?? {}
    const groups = this.#topology.readGroups(keys, consistency)
    const [first] = groups
    // A group has no repeated keys.
    if (first?.length === keys.length) return this.#getGroup(first, consistency)
    const replies = await Promise.all(groups.map((group) => this.#getGroup(group, consistency)))
    const items = new Map(
      groups.flatMap((group, g) => group.map((key, k) => [key, replies[g]?.[k]])),
    )
    return keys.map((key) => items.get(key))
  }

  set(key: string, item: Payload, ttl?: number): Promise<void> {
    if (this.#isTooLarge(item)) return this.#rejectTooLarge('set', [[key, item]])
    const command = (client: CommandClient) => setCommand(client, key, item, ttl)
    return this.#executor.write('set', [key], command, 'idempotent')
  }

  async setMany(entries: Entries, ttl?: number): Promise<void> {
    this.#lifecycle.assertOpen('setMany')
    const tooLarge = entries.filter(([, item]) => this.#isTooLarge(item))
    if (tooLarge.length > 0) await this.#rejectTooLarge('setMany', tooLarge)
    const items = new Map(entries)
    await (ttl === undefined ? this.#setWithoutTtl(items) : this.#setWithTtl(items, ttl))
  }

  async add(key: string, item: Payload, ttl?: number): Promise<boolean> {
    if (this.#isTooLarge(item)) throw this.#valueTooLarge('add', key, item)
    const command: Command<'OK' | null> = (client) => addCommand(client, key, item, ttl)
    return (await this.#executor.write('add', [key], command)) === 'OK'
  }

  async compareAndSet(
    key: string,
    expected: Payload,
    next: Payload | undefined,
    ttl?: number,
  ): Promise<boolean> {
    if (next !== undefined && this.#isTooLarge(next))
      throw this.#valueTooLarge('compareAndSet', key, next)
    const current = toArgument(expected)
    const command: Command<number> = (client) =>
      next === undefined
        ? scripts.compareAndDelete.run(client, key, [current])
        : scripts.compareAndSet.run(client, key, [current, toArgument(next), ttlArgument(ttl)])
    return (await this.#executor.write('compareAndSet', [key], command)) === 1
  }

  increment(key: string, by: number, ttl?: number): Promise<number> {
    return this.#executor.write('increment', [key], (client) =>
      scripts.increment.run(client, key, [String(by), ttlArgument(ttl)]),
    )
  }

  async touch(key: string, ttl?: number): Promise<boolean> {
    const command: Command<number> = (client) =>
      ttl === undefined ? scripts.persist.run(client, key, []) : client.pexpire(key, ttl)
    return (await this.#executor.write('touch', [key], command, 'idempotent')) === 1
  }

  async delete(key: string): Promise<boolean> {
    return (await this.#executor.write('delete', [key], (client) => client.unlink(key))) === 1
  }

  async deleteMany(keys: readonly string[]): Promise<number> {
    this.#lifecycle.assertOpen('deleteMany')
    const groups = this.#topology.writeGroups(keys)
    const counts = await Promise.all(
      groups.map((group) =>
        this.#executor.write('deleteMany', group, (client) => client.unlink(...group)),
      ),
    )
    return counts.reduce((sum, count) => sum + count, 0)
  }

  async clear(): Promise<void> {
    const endWrite = this.#topology.beginWrite(undefined)
    try {
      await this.#executor.onPrimaries('clear', (client) => client.flushdb('ASYNC'))
    } finally {
      endWrite?.()
    }
  }

  async ping(): Promise<void> {
    await this.#executor.onPrimaries('ping', (client) => client.ping())
  }

  /** @see ReplicationTracker */
  async consistencyToken(): Promise<string> {
    this.#lifecycle.assertOpen('consistencyToken')
    return this.#topology.consistencyToken()
  }

  observe(token: string): void {
    this.#topology.observe(token)
  }

  close(): Promise<void> {
    return this.#lifecycle.close(async () => {
      await Promise.all([this.#topology.close(), this.#replicaWait?.close()])
    })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async *scan(prefix: string): AsyncGenerator<string[], void, undefined> {
    this.#lifecycle.assertOpen('scan')
    const pattern = `${escapeGlob(prefix)}*`
    for (const primary of await this.#executor.primaries('scan')) {
      let cursor = '0'
      do {
        const from = cursor
        const [next, keys] = await this.#executor.sendTo(primary, 'scan', (client) =>
          client.scan(from, 'MATCH', pattern, 'COUNT', keysPerScan),
        )
        if (keys.length > 0) yield keys
        cursor = next
      } while (cursor !== '0')
    }
  }

  #getGroup(
    keys: string[],
    consistency: Consistency | undefined,
  ): Promise<(Payload | undefined)[]> {
    const command: Command<(Payload | undefined)[]> = (client) =>
      client.mgetBuffer(keys).then((replies) => replies.map(orUndefined))
    return this.#executor.read('getMany', keys, command, hasMissing, consistency)
  }

  async #setWithoutTtl(items: ReadonlyMap<string, Payload>): Promise<void> {
    const groups = this.#topology.writeGroups([...items.keys()])
    const pairsOf = (keys: readonly string[]) =>
      keys.flatMap((key) => [key, toArgument(items.get(key) as Payload)])
    await Promise.all(
      groups.map((keys) =>
        this.#executor.write('setMany', keys, (client) => client.mset(pairsOf(keys)), 'idempotent'),
      ),
    )
  }

  async #setWithTtl(items: ReadonlyMap<string, Payload>, ttl: number): Promise<void> {
    const groups = this.#topology.writeGroups([...items.keys()])
    await Promise.all(groups.map((keys) => this.#setGroup(keys, items, ttl)))
  }

  async #setGroup(
    keys: readonly string[],
    items: ReadonlyMap<string, Payload>,
    ttl: number,
  ): Promise<void> {
    const [key, ...others] = keys
    if (others.length === 0)
      return this.set(key as string, items.get(key as string) as Payload, ttl)
    const group = new SetGroup(keys, items, ttl)
    try {
      await this.#executor.write('setMany', keys, (client) => group.send(client), 'idempotent')
    } catch (error) {
      throw group.errorFor(error)
    }
  }

  #isTooLarge(item: Payload): boolean {
    return exceeds(item, this.limits.valueBytes)
  }

  /** Deletes the old values first: the caller meant to replace them, so they must not be served any more. */
  async #rejectTooLarge(operation: string, entries: Entries): Promise<void> {
    await this.deleteMany(entries.map(([key]) => key))
    for (const [key, item] of entries) throw this.#valueTooLarge(operation, key, item)
  }

  #valueTooLarge(operation: string, key: string, item: Payload): CacheError {
    this.#lifecycle.assertOpen(operation)
    return valueTooLarge(this.name, operation, key, payloadBytes(item), this.limits.valueBytes)
  }
}

function orUndefined(reply: Buffer | null): Buffer | undefined {
  return reply ?? undefined
}

function isMissing(item: Payload | undefined): boolean {
  return item === undefined
}

function hasMissing(items: readonly (Payload | undefined)[]): boolean {
  return items.includes(undefined)
}

function missIfWrongType(error: unknown): undefined {
  if (!isWrongType(error)) throw error
}
