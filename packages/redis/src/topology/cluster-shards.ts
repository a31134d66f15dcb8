import type { Redis } from 'ioredis'
import type { ClusterConnection, NodeConnection } from '../connection/cluster-connection.ts'
import type { Fence } from '../consistency/replication-tracker.ts'
import type { ReadFrom } from '../redis-options.ts'
import { type Replica, ReplicaGroup, replicaOf } from './replica-group.ts'

/** A master of a cluster and its replicas. */
interface Shard {
  /** The master, as `host:port`. */
  readonly master: string | undefined
  readonly primary: NodeConnection
  readonly replicas: Replica[]
  readonly group: ReplicaGroup
}

/** Which replicas there are for each slot, kept up with what the client finds out. */
export class Shards {
  readonly #connection: ClusterConnection
  /** The replicas of all shards. */
  readonly #replicas: Replica[]
  readonly #readFrom: ReadFrom
  readonly #fence: Fence | undefined
  /** The last made of each node: a node is listened to once, however often the shards change. */
  readonly #replicaOf = new WeakMap<Redis, Replica>()
  /** By the nodes that serve a slot, as one text. */
  #shards = new Map<string, Shard>()
  #bySlot: (Shard | undefined)[] = []

  /** `replicas` is filled here, for the fence to see. */
  constructor(
    connection: ClusterConnection,
    replicas: Replica[],
    readFrom: ReadFrom,
    fence: Fence | undefined,
  ) {
    this.#connection = connection
    this.#replicas = replicas
    this.#readFrom = readFrom
    this.#fence = fence
    connection.onRefresh(() => this.#refresh())
  }

  /** `undefined` also where the client was sent to another master, and does not know yet who replicates that. */
  of(slot: number): Shard | undefined {
    const shard = this.#bySlot[slot]
    return shard?.master === this.#connection.slots[slot]?.[0] ? shard : undefined
  }

  async examine(): Promise<void> {
    await Promise.all([...this.#shards.values()].map(({ group }) => group.examine()))
  }

  #refresh(): void {
    const nodes = this.#connection.nodes()
    const shards = new Map<string, Shard>()
    const bySlot = this.#connection.slots.map((keys = []) => {
      const name = keys.join(' ')
      const known = shards.get(name) ?? this.#shardOf(name, keys, nodes)
      if (known !== undefined) shards.set(name, known)
      return known
    })
    const changed = bySlot.some((shard, slot) => shard !== this.#bySlot[slot])
    this.#shards = shards
    this.#bySlot = bySlot
    this.#replicas.splice(0, Infinity, ...[...shards.values()].flatMap(({ replicas }) => replicas))
    // A key that has moved is on its new master before it is on the replicas of that.
    if (changed) this.#fence?.raise()
  }

  #shardOf(name: string, keys: readonly string[], nodes: Map<string, Redis>): Shard | undefined {
    const [master, ...others] = keys.map((key) => nodes.get(key))
    if (master === undefined) return undefined
    const before = this.#shards.get(name)
    if (before !== undefined && isMadeOf(before, master, others)) return before
    const primary = this.#connection.connectionTo(master)
    const found = others.filter((node) => node !== undefined)
    const replicas = found.map((node) =>
      this.#replica(this.#connection.connectionToReplica(node), primary),
    )
    const group = new ReplicaGroup(primary, replicas, this.#readFrom, this.#fence)
    return { master: keys[0], primary, replicas, group }
  }

  #replica(connection: NodeConnection, primary: NodeConnection): Replica {
    const replica = replicaOf(connection, primary)
    // What it has is not known before it is asked.
    replica.safe = -1
    const isKnown = this.#replicaOf.has(connection.node)
    this.#replicaOf.set(connection.node, replica)
    if (!isKnown) connection.onChange((up) => this.#changed(connection.node, up))
    return replica
  }

  #changed(node: Redis, up: boolean): void {
    const replica = this.#replicaOf.get(node)
    if (replica === undefined) return
    if (up) this.#fence?.follow(replica)
    else this.#fence?.distrust(replica)
  }
}

function isMadeOf(shard: Shard, master: Redis, others: readonly (Redis | undefined)[]): boolean {
  const nodes = shard.replicas.map(({ connection }) => (connection as NodeConnection).node)
  return (
    shard.primary.node === master &&
    nodes.length === others.length &&
    others.every((node, index) => node === nodes[index])
  )
}
