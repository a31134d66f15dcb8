import { channels, type ReplicaEvent } from '../channels.ts'
import type { Consistency } from '../store.ts'
import type { ReadFrom } from './read-from.ts'
import type {
  ReadReplicationState,
  ReplicatedServer,
  ReplicationState,
} from './replication-state.ts'
import { type ReplicationTracker, replicates, type TrackedReplica } from './replication-tracker.ts'

/** Weight of the newest round trip in the moving average. */
const newestWeight = 0.3

/** Of two replicas, the one with the higher value is used. */
const health = {
  /** It may be empty: it has not been connected to its primary since this process connected to it. */
  unknown: 0,
  /** It has lost its primary, and falls behind forever. */
  wasLinked: 1,
  /** It was connected to its primary at the last health check. */
  linked: 2,
} as const

export interface Replica<Server extends ReplicatedServer = ReplicatedServer>
  extends TrackedReplica<Server> {
  health: (typeof health)[keyof typeof health]
  /** Moving average in milliseconds; 0 before the first measurement. */
  roundTripMs: number
}

export function newReplica<Server extends ReplicatedServer>(
  connection: Server,
  primary: Server,
): Replica<Server> {
  const tracked = { appliedThrough: 0, isPolled: false, info: undefined }
  return { connection, primary, ...tracked, health: health.unknown, roundTripMs: 0 }
}

export interface ReplicaGroupOptions<Server extends ReplicatedServer> {
  /** Name of the driver. */
  readonly store: string
  readonly primary: Server
  /** The owner may add replicas to the array and remove them. */
  readonly replicas: readonly Replica<Server>[]
  readonly readFrom: ReadFrom
  readonly readState: ReadReplicationState<Server>
  /** Without a tracker, reads from replicas are eventual. */
  readonly tracker: ReplicationTracker<Server> | undefined
}

/** A primary and its replicas. Chooses the server for each read. */
export class ReplicaGroup<Server extends ReplicatedServer = ReplicatedServer> {
  readonly #store: string
  readonly #primary: Server
  readonly #replicas: readonly Replica<Server>[]
  readonly #readFrom: ReadFrom
  readonly #readState: ReadReplicationState<Server>
  readonly #tracker: ReplicationTracker<Server> | undefined
  #roundTripMs = 0
  /** Identifies the stream of the primary; `undefined` if it is unknown. */
  #replicationId: string | undefined
  #turn = 0

  constructor(options: ReplicaGroupOptions<Server>) {
    this.#store = options.store
    this.#primary = options.primary
    this.#replicas = options.replicas
    this.#readFrom = options.readFrom
    this.#readState = options.readState
    this.#tracker = options.tracker
  }

  /** The server for a read of these keys. Servers in `failed` are skipped; `undefined` if none is left. */
  reader(
    keys: readonly string[],
    consistency: Consistency,
    failed: readonly Server[] = [],
  ): Server | undefined {
    const primary = failed.includes(this.#primary) ? undefined : this.#primary
    // Without a tracker no replica is known to be recent enough.
    const needsPrimary = consistency === 'session' && this.#tracker === undefined
    if (needsPrimary || consistency === 'strong' || this.#readFrom === 'primary') return primary
    const requiredWrite = this.#requiredWrite(keys, consistency)
    const isRecent = (replica: Replica<Server>) =>
      !failed.includes(replica.connection) && this.#isRecent(replica, requiredWrite)
    const minHealth = primary?.tryConnect() ? health.linked : this.#bestHealth(isRecent)
    const canServe = (replica: Replica<Server>) => replica.health >= minHealth && isRecent(replica)
    return this.#choose(primary, canServe, failed.length > 0)
  }

  /** Whether a replica may serve the read now. It may have reconnected since it was chosen, to another server. */
  canRead(connection: Server, keys: readonly string[], consistency: Consistency): boolean {
    const replica = this.#replicas.find((each) => each.connection === connection)
    return replica !== undefined && this.#isRecent(replica, this.#requiredWrite(keys, consistency))
  }

  /** Updates the health and the round trip of each server. */
  async checkHealth(): Promise<void> {
    const startedAt = performance.now()
    const state = await this.#readState(this.#primary)
    this.#replicationId = typeof state === 'string' ? undefined : state.replicationId
    this.#roundTripMs = movingAverage(this.#roundTripMs, performance.now() - startedAt)
    await Promise.all(
      this.#replicas.map(async (replica) => {
        const own = await this.checkReplica(replica)
        this.#publish(replica, own, state)
      }),
    )
  }

  async checkReplica(replica: Replica<Server>): Promise<ReplicationState> {
    const startedAt = performance.now()
    const state = await this.#readState(replica.connection)
    replica.roundTripMs = movingAverage(replica.roundTripMs, performance.now() - startedAt)
    this.#updateHealth(replica, state)
    return state
  }

  #updateHealth(replica: Replica<Server>, state: ReplicationState): void {
    if (state === 'unreachable') return
    if (state === 'forbidden' || replicates(state, this.#replicationId)) {
      replica.health = health.linked
    } else if (replica.health === health.linked) replica.health = health.wasLinked
  }

  #publish(
    { connection, health: current }: Replica<Server>,
    state: ReplicationState,
    primary: ReplicationState,
  ): void {
    if (!channels.replica.hasSubscribers) return
    const isLinked = current === health.linked && state !== 'unreachable'
    const isMeasured = isLinked && typeof state !== 'string' && typeof primary !== 'string'
    const event: ReplicaEvent = {
      store: this.#store,
      server: connection.address ?? '',
      isLinked,
      lagBytes: isMeasured ? Math.max(0, primary.offset - state.offset) : undefined,
    }
    channels.replica.publish(event)
  }

  /** Must be called when the connection to a replica is established or lost: it may have been restarted. */
  onStateChange(replica: Replica<Server>, connected: boolean): void {
    replica.health = health.unknown
    if (connected) {
      this.#tracker?.poll(replica)
      void this.checkReplica(replica)
    } else this.#tracker?.reset(replica)
  }

  /** `undefined` if the read may be as old as a replica is. */
  #requiredWrite(keys: readonly string[], consistency: Consistency): number | undefined {
    return consistency === 'session' ? (this.#tracker?.requiredWrite(keys) ?? 0) : undefined
  }

  #choose(
    primary: Server | undefined,
    canServe: (replica: Replica<Server>) => boolean,
    isRetry: boolean,
  ): Server | undefined {
    switch (this.#readFrom) {
      case 'nearest':
        return this.#nearest(canServe) ?? primary
      case 'any':
        return this.#nextInTurn(canServe, primary) ?? primary
      case 'primaryPreferred':
        return primary?.tryConnect() ? primary : (this.#nextInTurn(canServe) ?? primary)
      case 'replica':
        return this.#nextInTurn(canServe) ?? primary
      default:
        // After one failed replica, another one could cost the rest of the timeout.
        return isRetry && primary?.tryConnect() ? primary : (this.#nextInTurn(canServe) ?? primary)
    }
  }

  /** The next replica, or the primary if given, in round-robin order. Skips replicas that cannot serve the read. */
  #nextInTurn(
    canServe: (replica: Replica<Server>) => boolean,
    primary?: Server,
  ): Server | undefined {
    const count = this.#replicas.length + (primary === undefined ? 0 : 1)
    for (let tried = 0; tried < count; tried++) {
      this.#turn = (this.#turn + 1) % count
      const replica = this.#replicas[this.#turn]
      if (replica === undefined) return primary
      if (canServe(replica)) return replica.connection
    }
    return undefined
  }

  /** The replica with the shortest round trip; `undefined` if that of the primary is shorter. */
  #nearest(canServe: (replica: Replica<Server>) => boolean): Server | undefined {
    let nearest: Server | undefined
    let minMs = this.#primary.tryConnect() ? this.#roundTripMs : Infinity
    for (const replica of this.#replicas) {
      if (replica.roundTripMs >= minMs || !canServe(replica)) continue
      nearest = replica.connection
      minMs = replica.roundTripMs
    }
    return nearest
  }

  /** A replica without its primary is used only if the primary is unreachable here too, and no other one is better. */
  #bestHealth(isRecent: (replica: Replica<Server>) => boolean): number {
    let best: number = health.unknown
    for (const replica of this.#replicas) {
      if (replica.health > best && isRecent(replica)) best = replica.health
    }
    return best
  }

  /** Whether the replica is connected and has applied the write. */
  #isRecent(replica: Replica<Server>, requiredWrite: number | undefined): boolean {
    if (!replica.connection.tryConnect()) return false
    return requiredWrite === undefined || this.#tracker?.isCaughtUp(replica, requiredWrite) === true
  }
}

function movingAverage(before: number, ms: number): number {
  return before === 0 ? ms : before * (1 - newestWeight) + ms * newestWeight
}
