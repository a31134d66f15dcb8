import type { Consistency } from '@stowage/core'
import { type Replica, ReplicationTracker } from '@stowage/core/internal'
import slotOf from 'cluster-key-slot'
import type { RedisOptions as ClientOptions } from 'ioredis'
import { ClusterConnection } from '../connection/cluster/cluster-connection.ts'
import type { Connection } from '../connection/connection.ts'
import type { Address } from '../connection/server-address.ts'
import { readToken, tokenVersion } from '../consistency/consistency-token.ts'
import { readReplicationState } from '../consistency/replication-info.ts'
import type { ResolvedOptions } from '../redis-options.ts'
import { ClusterShards } from './cluster-shards.ts'
import { clockNode, readSlotLayout, type SlotLayout } from './slot-layout.ts'
import { groupedBySlot, type Topology } from './topology.ts'

const healthCheckMs = 1_000
/** ioredis refreshes its slots only after a redirection, so it does not notice a replica that joins or returns. */
const refreshSlotsMs = 5_000

/**
 * A cluster. The client routes each key to the master of its slot; replicas of that master may serve reads. Commands
 * with several keys are split by slot, and commands that concern all keys are sent to every master.
 */
export class ClusterTopology implements Topology {
  readonly #connection: ClusterConnection
  readonly #consistency: Consistency
  readonly #tracker: ReplicationTracker<Connection> | undefined
  /** `undefined` if masters serve all reads. */
  readonly #shards: ClusterShards | undefined
  readonly #timers: NodeJS.Timeout[] = []
  #slotsReadAt = performance.now()

  constructor(nodes: readonly Address[], server: ClientOptions, options: ResolvedOptions) {
    const { readFrom, consistency, assumedLagMs } = options
    this.#connection = new ClusterConnection(nodes, server, options)
    this.#consistency = consistency
    if (readFrom === 'primary') return
    const replicas: Replica<Connection>[] = []
    if (consistency === 'session') {
      const observed = { replicas, readState: readReplicationState }
      this.#tracker = new ReplicationTracker({ ...observed, tokenVersion, assumedLagMs })
    }
    this.#shards = new ClusterShards(this.#connection, replicas, readFrom, this.#tracker)
    this.#timers.push(
      setInterval(() => void this.#shards?.checkHealth(), healthCheckMs).unref(),
      setInterval(() => this.#connection.refreshSlots(), refreshSlotsMs).unref(),
    )
  }

  primary(): Connection {
    return this.#connection
  }

  /** A replica of the slot's master if one may serve the read, otherwise the client, which routes to the master. */
  reader(
    keys: readonly string[],
    consistency: Consistency = this.#consistency,
    failed: readonly Connection[] = [],
  ): Connection | undefined {
    const routed = failed.includes(this.#connection) ? undefined : this.#connection
    const shard = this.#shards?.shardOf(slotOf(keys[0] ?? ''))
    if (shard === undefined) return routed
    const skipped = routed === undefined ? [...failed, shard.primary] : failed
    const reader = shard.group.reader(keys, consistency, skipped)
    return reader === shard.primary ? routed : reader
  }

  /** During a slot migration a replica lacks the moved keys, and only its master redirects to their new node. */
  fallbackReader(
    reader: Connection,
    consistency: Consistency = this.#consistency,
  ): Connection | undefined {
    return reader === this.#connection || consistency === 'eventual' ? undefined : this.#connection
  }

  async primaries(): Promise<readonly Connection[]> {
    await this.#connection.ready()
    return this.#connection.masters().map((node) => this.#connection.connectionTo(node))
  }

  /** A failover is noticed by the next reading: nothing else may tell this process that another node serves the slot. */
  async clockServer(): Promise<Connection> {
    await this.#connection.ready()
    if (performance.now() - this.#slotsReadAt > refreshSlotsMs) {
      this.#slotsReadAt = performance.now()
      this.#connection.refreshSlots()
    }
    const { slots } = this.#connection
    return this.#connection.connectionTo(clockNode(slots, this.#connection.masters()))
  }

  async slotLayout(): Promise<SlotLayout> {
    return readSlotLayout(await this.primaries())
  }

  writeGroups(keys: readonly string[]): string[][] {
    return groupedBySlot(keys)
  }

  readGroups(keys: readonly string[]): string[][] {
    return this.writeGroups(keys)
  }

  beginWrite(keys: readonly string[] | undefined): (() => void) | undefined {
    return this.#tracker?.beginWrite(keys)
  }

  async consistencyToken(): Promise<string> {
    return readToken(await this.primaries())
  }

  observe(token: string): void {
    this.#tracker?.observe(token)
  }

  close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer)
    this.#tracker?.close()
    return this.#connection.close()
  }
}
