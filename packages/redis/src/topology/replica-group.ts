import type { Consistency } from '@stowage/core'
import type { Connection } from '../connection/connection.ts'
import { standing } from '../consistency/replication-info.ts'
import type { Fence, Follower } from '../consistency/replication-tracker.ts'
import type { ReadFrom } from '../redis-options.ts'

/** Weight of the newest round trip in the mean. */
const newest = 0.3

/** A replica as reads see it. */
export interface Replica extends Follower {
  /** Whether it was in touch with the primary when it was last asked. */
  fit: boolean
  /** Mean round trip in ms; 0 before the first. */
  roundTripMs: number
}

export function replicaOf(connection: Connection, primary: Connection): Replica {
  const asked = { safe: 0, followed: false, standing: undefined }
  return { connection, primary, ...asked, fit: true, roundTripMs: 0 }
}

/** A primary and its replicas, and which of them answers a read. */
export class ReplicaGroup {
  readonly #primary: Connection
  readonly #replicas: readonly Replica[]
  readonly #readFrom: ReadFrom
  readonly #fence: Fence | undefined
  #roundTripMs = 0
  #turn = 0

  /** Replicas may come and go in the list. Without a fence reads are as old as they come. */
  constructor(
    primary: Connection,
    replicas: readonly Replica[],
    readFrom: ReadFrom,
    fence: Fence | undefined,
  ) {
    this.#primary = primary
    this.#replicas = replicas
    this.#readFrom = readFrom
    this.#fence = fence
  }

  /** The server to ask for these keys, past those that were asked in vain. `undefined` when none is left. */
  reader(
    keys: readonly string[],
    consistency: Consistency,
    failed: readonly Connection[] = [],
  ): Connection | undefined {
    const primary = failed.includes(this.#primary) ? undefined : this.#primary
    // Without a fence nobody knows which replica is recent enough.
    const onPrimary = consistency === 'session' && this.#fence === undefined
    if (onPrimary || consistency === 'strong' || this.#readFrom === 'primary') return primary
    const required = consistency === 'session' ? (this.#fence?.required(keys) ?? 0) : undefined
    const candidates = (replica: Replica) =>
      !failed.includes(replica.connection) && this.#mayAnswer(replica, required)
    return this.#choose(primary, candidates, failed.length > 0)
  }

  /** Asks each server how it is. */
  async examine(): Promise<void> {
    const since = performance.now()
    const truth = await standing(this.#primary)
    const stream = typeof truth === 'string' ? undefined : truth.stream
    this.#roundTripMs = mean(this.#roundTripMs, performance.now() - since)
    await Promise.all(this.#replicas.map((replica) => examine(replica, stream)))
  }

  #choose(
    primary: Connection | undefined,
    mayAnswer: (replica: Replica) => boolean,
    again: boolean,
  ): Connection | undefined {
    switch (this.#readFrom) {
      case 'nearest':
        return this.#nearest(mayAnswer) ?? primary
      case 'any':
        return this.#next(mayAnswer, primary) ?? primary
      case 'primaryPreferred':
        return primary?.wake() ? primary : (this.#next(mayAnswer) ?? primary)
      case 'replica':
        return this.#next(mayAnswer) ?? primary
      default:
        // One replica that fails is enough of a delay.
        return again && primary?.wake() ? primary : (this.#next(mayAnswer) ?? primary)
    }
  }

  /** Interceptor the replicas (and the primary), each in its turn, past those that may not answer. */
  #next(mayAnswer: (replica: Replica) => boolean, primary?: Connection): Connection | undefined {
    const count = this.#replicas.length + (primary === undefined ? 0 : 1)
    for (let tried = 0; tried < count; tried++) {
      this.#turn = (this.#turn + 1) % count
      const replica = this.#replicas[this.#turn]
      if (replica === undefined) return primary
      if (mayAnswer(replica)) return replica.connection
    }
    return undefined
  }

  #nearest(mayAnswer: (replica: Replica) => boolean): Connection | undefined {
    let nearest: Connection | undefined
    let leastMs = this.#primary.wake() ? this.#roundTripMs : Infinity
    for (const replica of this.#replicas) {
      if (replica.roundTripMs >= leastMs || !mayAnswer(replica)) continue
      nearest = replica.connection
      leastMs = replica.roundTripMs
    }
    return nearest
  }

  #mayAnswer(replica: Replica, required: number | undefined): boolean {
    if (!replica.connection.wake()) return false
    // One out of touch falls behind without end; but better that than nobody.
    if (!replica.fit && this.#primary.wake()) return false
    return required === undefined || this.#fence?.trusts(replica, required) === true
  }
}

async function examine(replica: Replica, stream: string | undefined): Promise<void> {
  const since = performance.now()
  const answer = await standing(replica.connection)
  replica.roundTripMs = mean(replica.roundTripMs, performance.now() - since)
  if (answer === 'silent') return
  const strays = answer !== 'forbidden' && stream !== undefined && answer.stream !== stream
  const isReplica = answer === 'forbidden' || (answer.role === 'slave' && answer.linked)
  replica.fit = isReplica && !strays
}

function mean(before: number, ms: number): number {
  return before === 0 ? ms : before * (1 - newest) + ms * newest
}
