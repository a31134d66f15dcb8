import {
  newReplica,
  type Replica,
  ReplicaGroup,
  type ReplicationTracker,
} from '@stowage/core/internal'
import type { Redis } from 'ioredis'
import type { ClusterConnection } from '../connection/cluster/cluster-connection.ts'
import type { NodeConnection } from '../connection/cluster/node-connection.ts'
import type { Connection } from '../connection/connection.ts'
import { readReplicationState } from '../consistency/replication-info.ts'
import type { ReadFrom } from '../redis-options.ts'

/** A master of a cluster and its replicas. */
interface Shard {
  /** The master, as `host:port`. */
  readonly master: string | undefined
  readonly primary: NodeConnection
  readonly replicas: Replica<Connection>[]
  readonly group: ReplicaGroup<Connection>
}

/** The replicas for each slot. Updated each time the client refreshes its table of slots. */
export class ClusterShards {
  readonly #connection: ClusterConnection
  /** The replicas of all shards. */
  readonly #replicas: Replica<Connection>[]
  readonly #readFrom: ReadFrom
  readonly #tracker: ReplicationTracker<Connection> | undefined
  /** By `host:port`. A connection gets one listener, however often the shards change. */
  readonly #replicaConnections = new Map<string, NodeConnection>()
  /** The current shard and replica of each connection. */
  readonly #replicaOf = new WeakMap<
    NodeConnection,
    { group: ReplicaGroup<Connection>; replica: Replica<Connection> }
  >()
  /** By the names of the nodes that serve a slot, joined. */
  #shards = new Map<string, Shard>()
  #bySlot: (Shard | undefined)[] = []

  /** `replicas` is the array that the tracker observes; it is filled here. */
  constructor(
    connection: ClusterConnection,
    replicas: Replica<Connection>[],
    readFrom: ReadFrom,
    tracker: ReplicationTracker<Connection> | undefined,
  ) {
    this.#connection = connection
    this.#replicas = replicas
    this.#readFrom = readFrom
    this.#tracker = tracker
    connection.onSlotsRefreshed(() => this.#update())
  }

  /** Returns `undefined` also if the client was redirected to a new master whose replicas are not known yet. */
  shardOf(slot: number): Shard | undefined {
    const shard = this.#bySlot[slot]
    return shard?.master === this.#connection.slots[slot]?.[0] ? shard : undefined
  }

  /** Also looks for the replicas of a new cluster: a master lists a replica once it has received data. */
  async checkHealth(): Promise<void> {
    const shards = [...this.#shards.values()]
    if (shards.some(({ replicas }) => replicas.length === 0)) this.#connection.refreshSlots()
    await Promise.all(shards.map(({ group }) => group.checkHealth()))
  }

  #update(): void {
    const nodes = this.#connection.nodes()
    const shards = new Map<string, Shard>()
    const bySlot = this.#connection.slots.map((addresses = []) => {
      const name = addresses.join(' ')
      const shard = shards.get(name) ?? this.#findOrCreate(name, addresses, nodes)
      if (shard !== undefined) shards.set(name, shard)
      return shard
    })
    const changed = bySlot.some((shard, slot) => shard !== this.#bySlot[slot])
    this.#shards = shards
    this.#bySlot = bySlot
    this.#replicas.splice(0, Infinity, ...[...shards.values()].flatMap(({ replicas }) => replicas))
    this.#forgetRemovedReplicas()
    // A moved key exists on its new master before that master's replicas have it.
    if (changed) this.#tracker?.requireCatchUp()
  }

  #forgetRemovedReplicas(): void {
    const current = new Set(this.#replicas.map(({ connection }) => connection))
    for (const [address, connection] of this.#replicaConnections)
      if (!current.has(connection)) this.#replicaConnections.delete(address)
  }

  /** A shard remains while its nodes have the same names, also while its master is unreachable. */
  #findOrCreate(
    name: string,
    addresses: readonly string[],
    nodes: Map<string, Redis>,
  ): Shard | undefined {
    const [address = '', ...others] = addresses
    const master = nodes.get(address)
    const shard = this.#shards.get(name) ?? (master && this.#create(address, master))
    if (shard === undefined) return undefined
    if (master !== undefined) shard.primary.node = master
    for (const other of others) this.#updateReplica(shard, other, nodes.get(other))
    return shard
  }

  #create(address: string, master: Redis): Shard {
    const primary = this.#connection.connectionTo(master)
    const replicas: Replica<Connection>[] = []
    const group = new ReplicaGroup<Connection>({
      store: 'redis',
      primary,
      replicas,
      readFrom: this.#readFrom,
      readState: readReplicationState,
      tracker: this.#tracker,
    })
    return { master: address, primary, replicas, group }
  }

  #updateReplica(shard: Shard, address: string, node: Redis | undefined): void {
    if (node === undefined) return
    const connection = this.#connectionTo(address, node)
    connection.node = node
    if (shard.replicas.some((replica) => replica.connection === connection)) return
    const replica = newReplica<Connection>(connection, shard.primary)
    // Its position is unknown until the first INFO.
    replica.appliedThrough = -1
    shard.replicas.push(replica)
    this.#replicaOf.set(connection, { group: shard.group, replica })
    if (connection.tryConnect()) void shard.group.checkReplica(replica)
  }

  #connectionTo(address: string, node: Redis): NodeConnection {
    const existing = this.#replicaConnections.get(address)
    if (existing !== undefined) return existing
    const connection = this.#connection.connectionToReplica(node)
    this.#replicaConnections.set(address, connection)
    connection.onStateChange((connected) => {
      const current = this.#replicaOf.get(connection)
      current?.group.onStateChange(current.replica, connected)
    })
    return connection
  }
}
