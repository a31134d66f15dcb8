import type { Consistency } from '@stowage/core'
import slotOf from 'cluster-key-slot'
import type { RedisOptions as ClientOptions } from 'ioredis'
import { chunked } from '../commands.ts'
import { ClusterConnection } from '../connection/cluster-connection.ts'
import type { Connection } from '../connection/connection.ts'
import { tokenOf } from '../consistency/consistency-token.ts'
import { Fence } from '../consistency/replication-tracker.ts'
import type { Address, ResolvedOptions } from '../redis-options.ts'
import { Shards } from './cluster-shards.ts'
import type { Replica } from './replica-group.ts'
import type { Topology } from './topology.ts'

/** Between two looks at the nodes. */
const examineMs = 1_000
/** The client asks who serves which slots when it is sent elsewhere, and hears of no replica that joins or returns. */
const refreshMs = 5_000

/**
 * A cluster: the client finds the master of each key's slot, replicas of that master may answer reads. Commands that
 * name several keys are sent for each slot by itself, those that concern all keys to every master.
 */
export class ClusterTopology implements Topology {
  readonly #connection: ClusterConnection
  readonly #consistency: Consistency
  readonly #fence: Fence | undefined
  /** `undefined` where masters answer every read. */
  readonly #shards: Shards | undefined
  readonly #timers: NodeJS.Timeout[] = []

  constructor(nodes: readonly Address[], server: ClientOptions, options: ResolvedOptions) {
    const { readFrom, consistency } = options
    this.#connection = new ClusterConnection(nodes, server, options)
    this.#consistency = consistency
    if (readFrom === 'primary') return
    const replicas: Replica[] = []
    if (consistency === 'session') this.#fence = new Fence(replicas, options.assumedLagMs)
    this.#shards = new Shards(this.#connection, replicas, readFrom, this.#fence)
    this.#timers.push(
      setInterval(() => void this.#shards?.examine(), examineMs).unref(),
      setInterval(() => this.#connection.refresh(), refreshMs).unref(),
    )
  }

  primary(): Connection {
    return this.#connection
  }

  /** A replica of the slot's master where one may answer, otherwise whom the client finds. */
  reader(
    keys: readonly string[],
    consistency: Consistency = this.#consistency,
    failed: readonly Connection[] = [],
  ): Connection | undefined {
    const routed = failed.includes(this.#connection) ? undefined : this.#connection
    const shard = this.#shards?.of(slotOf(keys[0] ?? ''))
    if (shard === undefined) return routed
    const asked = routed === undefined ? [...failed, shard.primary] : failed
    const found = shard.group.reader(keys, consistency, asked)
    return found === shard.primary ? routed : found
  }

  /** While a slot is on the move, a replica misses the keys that have left, and only the master knows where to. */
  elsewhere(
    reader: Connection,
    consistency: Consistency = this.#consistency,
  ): Connection | undefined {
    return reader === this.#connection || consistency === 'eventual' ? undefined : this.#connection
  }

  async primaries(): Promise<readonly Connection[]> {
    await this.#connection.ready()
    return this.#connection.masters().map((node) => this.#connection.connectionTo(node))
  }

  /** Keys of one slot each: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags */
  groups(keys: readonly string[]): string[][] {
    const bySlot = new Map<number, string[]>()
    for (const key of keys) {
      const slot = slotOf(key)
      const group = bySlot.get(slot)
      if (group === undefined) bySlot.set(slot, [key])
      else group.push(key)
    }
    return [...bySlot.values()].flatMap(chunked)
  }

  readGroups(keys: readonly string[]): string[][] {
    return this.groups(keys)
  }

  writing(keys: readonly string[] | undefined): (() => void) | undefined {
    return this.#fence?.writing(keys)
  }

  async token(): Promise<string> {
    return tokenOf(await this.primaries())
  }

  observe(token: string): void {
    this.#fence?.observe(token)
  }

  close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer)
    this.#fence?.close()
    return this.#connection.close()
  }
}
