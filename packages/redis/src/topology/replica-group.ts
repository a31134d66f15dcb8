import type { Consistency } from '@stowage/core'
import type { Connection } from '../connection/connection.ts'
import { type ReplicationInfo, readReplicationState } from '../consistency/replication-info.ts'
import type { ReplicationTracker, TrackedReplica } from '../consistency/replication-tracker.ts'
import type { ReadFrom } from '../redis-options.ts'

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

export interface Replica extends TrackedReplica {
  health: (typeof health)[keyof typeof health]
  /** Moving average in milliseconds; 0 before the first measurement. */
  roundTripMs: number
}

export function newReplica(connection: Connection, primary: Connection): Replica {
  const tracked = { appliedThrough: 0, isPolled: false, info: undefined }
  return { connection, primary, ...tracked, health: health.unknown, roundTripMs: 0 }
}

/** A primary and its replicas. Chooses the server for each read. */
export class ReplicaGroup {
  readonly #primary: Connection
  readonly #replicas: readonly Replica[]
  readonly #readFrom: ReadFrom
  readonly #tracker: ReplicationTracker | undefined
  #roundTripMs = 0
  /** Identifies the stream of the primary; `undefined` if it is unknown. */
  #replicationId: string | undefined
  #turn = 0

  /** The owner may add replicas to the array and remove them. Without a tracker, reads from replicas are eventual. */
  constructor(
    primary: Connection,
    replicas: readonly Replica[],
    readFrom: ReadFrom,
    tracker: ReplicationTracker | undefined,
  ) {
    this.#primary = primary
    this.#replicas = replicas
    this.#readFrom = readFrom
    this.#tracker = tracker
  }

  /** The server for a read of these keys. Servers in `failed` are skipped; `undefined` if none is left. */
  reader(
    keys: readonly string[],
    consistency: Consistency,
    failed: readonly Connection[] = [],
  ): Connection | undefined {
    const primary = failed.includes(this.#primary) ? undefined : this.#primary
    // Without a tracker no replica is known to be recent enough.
    const needsPrimary = consistency === 'session' && this.#tracker === undefined
    if (needsPrimary || consistency === 'strong' || this.#readFrom === 'primary') return primary
    const requiredWrite =
      consistency === 'session' ? (this.#tracker?.requiredWrite(keys) ?? 0) : undefined
    const isRecent = (replica: Replica) =>
      !failed.includes(replica.connection) && this.#isRecent(replica, requiredWrite)
    const minHealth = primary?.tryConnect() ? health.linked : this.#bestHealth(isRecent)
    const canServe = (replica: Replica) => replica.health >= minHealth && isRecent(replica)
    return this.#choose(primary, canServe, failed.length > 0)
  }

  /** Updates the health and the round trip of each server. */
  async checkHealth(): Promise<void> {
    const startedAt = performance.now()
    const state = await readReplicationState(this.#primary)
    this.#replicationId = typeof state === 'string' ? undefined : state.replicationId
    this.#roundTripMs = movingAverage(this.#roundTripMs, performance.now() - startedAt)
    await Promise.all(this.#replicas.map((replica) => this.checkReplica(replica)))
  }

  async checkReplica(replica: Replica): Promise<void> {
    const startedAt = performance.now()
    const state = await readReplicationState(replica.connection)
    replica.roundTripMs = movingAverage(replica.roundTripMs, performance.now() - startedAt)
    if (state === 'unreachable') return
    if (state === 'forbidden' || replicates(state, this.#replicationId)) {
      replica.health = health.linked
    } else if (replica.health === health.linked) replica.health = health.wasLinked
  }

  /** Must be called when the connection to a replica is established or lost: it may have been restarted. */
  onStateChange(replica: Replica, connected: boolean): void {
    replica.health = health.unknown
    if (connected) {
      this.#tracker?.poll(replica)
      void this.checkReplica(replica)
    } else this.#tracker?.reset(replica)
  }

  #choose(
    primary: Connection | undefined,
    canServe: (replica: Replica) => boolean,
    isRetry: boolean,
  ): Connection | undefined {
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
    canServe: (replica: Replica) => boolean,
    primary?: Connection,
  ): Connection | undefined {
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
  #nearest(canServe: (replica: Replica) => boolean): Connection | undefined {
    let nearest: Connection | undefined
    let minMs = this.#primary.tryConnect() ? this.#roundTripMs : Infinity
    for (const replica of this.#replicas) {
      if (replica.roundTripMs >= minMs || !canServe(replica)) continue
      nearest = replica.connection
      minMs = replica.roundTripMs
    }
    return nearest
  }

  /** A replica without its primary is used only if the primary is unreachable here too, and no other one is better. */
  #bestHealth(isRecent: (replica: Replica) => boolean): number {
    let best: number = health.unknown
    for (const replica of this.#replicas) {
      if (replica.health > best && isRecent(replica)) best = replica.health
    }
    return best
  }

  /** Whether the replica is connected and has applied the write. */
  #isRecent(replica: Replica, requiredWrite: number | undefined): boolean {
    if (!replica.connection.tryConnect()) return false
    return requiredWrite === undefined || this.#tracker?.isCaughtUp(replica, requiredWrite) === true
  }
}

function replicates(state: ReplicationInfo, replicationId: string | undefined): boolean {
  const { role, isLinked } = state
  const isSameStream = replicationId === undefined || state.replicationId === replicationId
  return role === 'slave' && isLinked && isSameStream
}

function movingAverage(before: number, ms: number): number {
  return before === 0 ? ms : before * (1 - newestWeight) + ms * newestWeight
}
