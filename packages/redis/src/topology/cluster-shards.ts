import type { Redis } from 'ioredis'
import type { ClusterConnection } from '../connection/cluster/cluster-connection.ts'
import type { NodeConnection } from '../connection/cluster/node-connection.ts'
import type { ReplicationTracker } from '../consistency/replication-tracker.ts'
import type { ReadFrom } from '../redis-options.ts'
import { newReplica, type Replica, ReplicaGroup } from './replica-group.ts'

/** A master of a cluster and its replicas. */
interface Shard {
  /** The master, as `host:port`. */
  readonly master: string | undefined
  readonly primary: NodeConnection
  readonly replicas: Replica[]
  readonly group: ReplicaGroup
}

/** The replicas for each slot. Updated each time the client refreshes its table of slots. */
export class ClusterShards {
  readonly #connection: ClusterConnection
  /** The replicas of all shards. */
  readonly #replicas: Replica[]
  readonly #readFrom: ReadFrom
  readonly #tracker: ReplicationTracker | undefined
  /** The current replica of each node. A node gets one listener, however often the shards change. */
  readonly #replicaOf = new WeakMap<Redis, Replica>()
  /** By the names of the nodes that serve a slot, joined. */
  #shards = new Map<string, Shard>()
  #bySlot: (Shard | undefined)[] = []

  /** `replicas` is the array that the tracker observes; it is filled here. */
  constructor(
    connection: ClusterConnection,
    replicas: Replica[],
    readFrom: ReadFrom,
    tracker: ReplicationTracker | undefined,
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

  async checkHealth(): Promise<void> {
    await Promise.all([...this.#shards.values()].map(({ group }) => group.checkHealth()))
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
    // A moved key exists on its new master before that master's replicas have it.
    if (changed) this.#tracker?.requireCatchUp()
  }

  #findOrCreate(
    name: string,
    addresses: readonly string[],
    nodes: Map<string, Redis>,
  ): Shard | undefined {
    const [master, ...others] = addresses.map((address) => nodes.get(address))
    if (master === undefined) return undefined
    const existing = this.#shards.get(name)
    if (existing !== undefined && consistsOf(existing, master, others)) return existing
    const primary = this.#connection.connectionTo(master)
    const replicas = others
      .filter((node) => node !== undefined)
      .map((node) => this.#createReplica(this.#connection.connectionToReplica(node), primary))
    const group = new ReplicaGroup(primary, replicas, this.#readFrom, this.#tracker)
    return { master: addresses[0], primary, replicas, group }
  }

  #createReplica(connection: NodeConnection, primary: NodeConnection): Replica {
    const replica = newReplica(connection, primary)
    // Its position is unknown until the first INFO.
    replica.appliedThrough = -1
    const hasListener = this.#replicaOf.has(connection.node)
    this.#replicaOf.set(connection.node, replica)
    if (!hasListener) {
      connection.onStateChange((connected) => this.#onStateChange(connection.node, connected))
    }
    return replica
  }

  #onStateChange(node: Redis, connected: boolean): void {
    const replica = this.#replicaOf.get(node)
    if (replica === undefined) return
    if (connected) this.#tracker?.poll(replica)
    else this.#tracker?.reset(replica)
  }
}

function consistsOf(shard: Shard, master: Redis, others: readonly (Redis | undefined)[]): boolean {
  const nodes = shard.replicas.map(({ connection }) => (connection as NodeConnection).node)
  return (
    shard.primary.node === master &&
    nodes.length === others.length &&
    others.every((node, index) => node === nodes[index])
  )
}
