import type { CacheError, Consistency, Payload, ReadOptions, StoreLimits } from '@stowage/core'
import type { ByteStore, ItemWithTtl } from '@stowage/core/driver'
import { exceeds, Lifecycle, payloadBytes, valueTooLarge } from '@stowage/core/driver'
import { type Command, CommandExecutor } from './command-executor.ts'
import {
  addCommand,
  type Entries,
  type Entry,
  escapeGlob,
  getCommand,
  getWithTtl,
  getWithTtlSingly,
  setCommand,
  toArgument,
  toPairs,
  ttlArgument,
} from './commands/basic-commands.ts'
import * as scripts from './commands/scripts.ts'
import { lastOfEachKey, SetGroup } from './commands/set-group.ts'
import type { CommandClient } from './protocol/command-client.ts'
import type { ResolvedOptions } from './redis-options.ts'
import { type KeyGroup, repliesOf } from './topology/key-groups.ts'
import type { Topology } from './topology/topology.ts'
import type { ReplicaWait } from './wait-for-replicas.ts'

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
    return this.#executor.read(
      'get',
      [key],
      (client) => getCommand(client, key),
      isMissing,
      options?.consistency,
    )
  }

  async getMany(keys: readonly string[], options?: ReadOptions): Promise<(Payload | undefined)[]> {
    this.#lifecycle.assertOpen('getMany')
    return this.#readGroups(keys, options, (group, consistency) =>
      this.#getGroup(group, consistency),
    )
  }

  async getWithTtl(
    keys: readonly string[],
    options?: ReadOptions,
  ): Promise<(ItemWithTtl<Payload> | undefined)[]> {
    this.#lifecycle.assertOpen('getWithTtl')
    return this.#readGroups(keys, options, (group, consistency) => {
      const command: Command<(ItemWithTtl<Payload> | undefined)[]> = (client) =>
        getWithTtl(client, group)
      const isIncomplete = (items: readonly unknown[]) => items.includes(undefined)
      return this.#executor.read(
        'getWithTtl',
        group,
        command,
        isIncomplete,
        consistency,
        (client) => getWithTtlSingly(client, group),
      )
    })
  }

  set(key: string, item: Payload, ttl?: number): Promise<void> {
    return this.#set('set', key, item, ttl)
  }

  async setMany(entries: Entries, ttl?: number): Promise<void> {
    this.#lifecycle.assertOpen('setMany')
    const keys = entries.map(keyOf)
    const groups = entries.some((entry) => this.#isTooLarge(entry[1]))
      ? this.#setFitting(entries, ttl)
      : this.#setAll(keys, entries, ttl)
    await repliesOf(keys, groups)
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
    const groups = this.#topology.writeGroups(keys).map((group) => ({
      keys: group,
      reply: this.#executor.write(
        'deleteMany',
        group,
        (client) => client.unlink(...group),
        'once',
        (client) => unlinkEach(client, group),
      ),
    }))
    const counts = await repliesOf(keys, groups)
    return counts.reduce((sum, count) => sum + count, 0)
  }

  clear(): Promise<void> {
    return this.#lifecycle.run('clear', () => this.#clear())
  }

  async #clear(): Promise<void> {
    const endWrite = this.#topology.beginWrite(undefined)
    try {
      const flush = () => this.#executor.onPrimaries('clear', (client) => client.flushdb('ASYNC'))
      const keysMayHaveMoved = await this.#executor.watchSlots('clear')
      await flush()
      if (await keysMayHaveMoved()) await flush()
    } finally {
      endWrite?.()
    }
  }

  ping(): Promise<void> {
    return this.#lifecycle.run('ping', () =>
      this.#executor.onPrimaries('ping', (client) => client.ping()),
    )
  }

  time(): Promise<number> {
    return this.#lifecycle.run('time', async () => {
      const server = await this.#executor.clockServer('time')
      const reply = await this.#executor.sendTo(server, 'time', (client) => client.time())
      const [seconds, microseconds] = reply.map(Number) as [number, number]
      return seconds * 1_000 + Math.floor(microseconds / 1_000)
    })
  }

  /** @see ReplicationTracker */
  consistencyToken(): Promise<string> {
    return this.#lifecycle.run('consistencyToken', () => this.#topology.consistencyToken())
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
    const keysMayHaveMoved = await this.#executor.watchSlots('scan')
    yield* this.#scanPrimaries(pattern)
    if (await keysMayHaveMoved()) yield* this.#scanPrimaries(pattern)
  }

  async *#scanPrimaries(pattern: string): AsyncGenerator<string[], void, undefined> {
    for (const primary of await this.#executor.primaries('scan')) {
      let cursor = '0'
      do {
        const from = cursor
        this.#lifecycle.assertOpen('scan')
        const [next, keys] = await this.#executor.sendTo(primary, 'scan', (client) =>
          client.scan(from, 'MATCH', pattern, 'COUNT', keysPerScan),
        )
        if (keys.length > 0) yield keys
        cursor = next
      } while (cursor !== '0')
    }
  }

  #set(operation: string, key: string, item: Payload, ttl: number | undefined): Promise<void> {
    if (this.#isTooLarge(item)) return this.#rejectTooLarge(operation, key, item)
    const command = (client: CommandClient) => setCommand(client, key, item, ttl)
    return this.#executor.write(operation, [key], command, 'idempotent')
  }

  #getGroup(
    keys: string[],
    consistency: Consistency | undefined,
  ): Promise<(Payload | undefined)[]> {
    const command: Command<(Payload | undefined)[]> = (client) =>
      client.mgetBuffer(keys).then((replies) => replies.map(orUndefined))
    const singly: Command<(Payload | undefined)[]> = (client) =>
      Promise.all(keys.map((key) => getCommand(client, key)))
    return this.#executor.read('getMany', keys, command, hasMissing, consistency, singly)
  }

  /** Reads the keys by groups of one server or slot each. */
  async #readGroups<T>(
    keys: readonly string[],
    options: ReadOptions | undefined,
    read: (group: string[], consistency: Consistency | undefined) => Promise<(T | undefined)[]>,
  ): Promise<(T | undefined)[]> {
    const { consistency } = options ?? {}
    const groups = this.#topology
      .readGroups(keys, consistency)
      .map((group) => ({ keys: group, reply: read(group, consistency) }))
    const [first] = groups
    // A group may name a repeated key once.
    if (groups.length === 1 && first?.keys.length === keys.length) return first.reply
    const replies = await repliesOf(keys, groups, (reply, index) => reply[index])
    const items = new Map(
      groups.flatMap((group, g) => group.keys.map((key, k) => [key, replies[g]?.[k]])),
    )
    return keys.map((key) => items.get(key))
  }

  /** Rejects the items that are too large, and stores the others. */
  #setFitting(entries: Entries, ttl: number | undefined): KeyGroup<unknown>[] {
    // If a key is repeated, only its last item counts.
    const last = lastOfEachKey(entries)
    const tooLarge = last.filter(([, item]) => this.#isTooLarge(item))
    const others = last.filter(([, item]) => !this.#isTooLarge(item))
    const rejected = tooLarge.map((entry) => this.#setOne(entry, ttl))
    return [...rejected, ...this.#setAll(others.map(keyOf), others, ttl)]
  }

  #setAll(keys: readonly string[], entries: Entries, ttl: number | undefined): KeyGroup<unknown>[] {
    const groups = this.#topology.writeGroups(keys)
    if (groups.length === 1) return [this.#setGroup(keys, entries, ttl)]
    const items = new Map(entries)
    return groups.map((group) => {
      const some = group.map((key) => [key, items.get(key) as Payload] as const)
      return this.#setGroup(group, some, ttl)
    })
  }

  #setGroup(keys: readonly string[], entries: Entries, ttl: number | undefined): KeyGroup<unknown> {
    if (ttl === undefined) return this.#setWithoutTtl(keys, entries)
    return entries.length === 1
      ? this.#setOne(entries[0] as Entry, ttl)
      : this.#setWithTtl(keys, entries, ttl)
  }

  #setOne([key, item]: Entry, ttl: number | undefined): KeyGroup<unknown> {
    return { keys: [key], reply: this.#set('setMany', key, item, ttl) }
  }

  #setWithoutTtl(keys: readonly string[], entries: Entries): KeyGroup<unknown> {
    const pairs = toPairs(entries)
    const command: Command<unknown> = (client) => client.mset(pairs)
    const singly: Command<unknown> = (client) => setEach(client, entries)
    const reply = this.#executor.write('setMany', keys, command, 'idempotent', singly)
    return { keys, reply }
  }

  #setWithTtl(keys: readonly string[], entries: Entries, ttl: number): KeyGroup<unknown> {
    const group = new SetGroup(entries, ttl)
    const command: Command<void> = (client) => group.send(client)
    const singly: Command<void> = (client) => group.sendSingly(client)
    const reply = this.#executor.write('setMany', keys, command, 'idempotent', singly)
    return {
      keys,
      reply: reply.catch((error) => {
        throw group.errorFor(error)
      }),
    }
  }

  #isTooLarge(item: Payload): boolean {
    return exceeds(item, this.limits.valueBytes)
  }

  /** Deletes the old value first: the caller meant to replace it, so it must not be served any more. */
  async #rejectTooLarge(operation: string, key: string, item: Payload): Promise<void> {
    const error = this.#valueTooLarge(operation, key, item)
    await this.delete(key)
    throw error
  }

  #valueTooLarge(operation: string, key: string, item: Payload): CacheError {
    this.#lifecycle.assertOpen(operation)
    return valueTooLarge(this.name, operation, key, payloadBytes(item), this.limits.valueBytes)
  }
}

async function setEach(client: CommandClient, entries: Entries): Promise<void> {
  const set = ([key, item]: Entry) => setCommand(client, key, item, undefined)
  await Promise.all(lastOfEachKey(entries).map(set))
}

async function unlinkEach(client: CommandClient, keys: readonly string[]): Promise<number> {
  const counts = await Promise.all(keys.map((key) => client.unlink(key)))
  return counts.reduce((sum, count) => sum + count, 0)
}

function keyOf(entry: Entry): string {
  return entry[0]
}

function orUndefined(reply: Payload | null): Payload | undefined {
  return reply ?? undefined
}

function isMissing(item: Payload | undefined): boolean {
  return item === undefined
}

function hasMissing(items: readonly (Payload | undefined)[]): boolean {
  return items.includes(undefined)
}
