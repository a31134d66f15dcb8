import type { Consistency } from '@stowage/core'
import {
  newReplica,
  type ReadFrom,
  type Replica,
  ReplicaGroup,
  ReplicationTracker,
} from '@stowage/core/internal'
import type { Parameter, Row, Statement } from '../connections/statement.ts'
import { readToken } from './primary-reads.ts'
import type { Reads } from './reads.ts'
import { readReplicationState, tokenVersion } from './replication-state.ts'
import type { Server } from './server.ts'

const healthCheckMs = 1_000
/** The share of a call's timeout that a replica gets, so that the primary can still reply in the remaining time. */
const replicaTimeoutShare = 0.4

export interface ReplicatedReadsOptions {
  readonly readFrom: ReadFrom
  readonly consistency: Consistency
  readonly assumedLagMs: number
  readonly timeoutMs: number
}

/** Opens a connection to a replica when it is used. `onStateChange` is called when it is established or lost. */
export type ConnectReplica = (onStateChange: (isConnected: boolean) => void) => Server

/** Reads from replicas that are recent enough, or from the primary. */
export class ReplicatedReads implements Reads {
  readonly #primary: Server
  readonly #replicas: readonly Replica<Server>[]
  readonly #options: ReplicatedReadsOptions
  /** `undefined` unless the consistency is `'session'`. */
  readonly #tracker: ReplicationTracker<Server> | undefined
  readonly #group: ReplicaGroup<Server>
  #timer: NodeJS.Timeout | undefined

  constructor(
    primary: Server,
    connectReplicas: readonly ConnectReplica[],
    options: ReplicatedReadsOptions,
  ) {
    const { readFrom, consistency, assumedLagMs } = options
    const replicas: Replica<Server>[] = []
    const observed = { replicas, readState: readReplicationState }
    this.#primary = primary
    this.#replicas = replicas
    this.#options = options
    if (consistency === 'session') {
      this.#tracker = new ReplicationTracker({ ...observed, tokenVersion, assumedLagMs })
    }
    this.#group = new ReplicaGroup({
      ...observed,
      store: 'postgres',
      primary,
      readFrom,
      tracker: this.#tracker,
    })
    for (const connect of connectReplicas) replicas.push(this.#connected(connect))
  }

  async run(
    statement: Statement,
    values: readonly Parameter[],
    keys: readonly string[],
    consistency: Consistency = this.#options.consistency,
  ): Promise<readonly Row[]> {
    this.#startHealthChecks()
    const startedAt = performance.now()
    const failed: Server[] = []
    let server = this.#group.reader(keys, consistency) as Server
    while (true) {
      const leftMs = this.#options.timeoutMs - (performance.now() - startedAt)
      try {
        return await this.#runOn(server, statement, values, keys, consistency, leftMs)
      } catch (error) {
        failed.push(server)
        const next = this.#group.reader(keys, consistency, failed)
        const isTimeLeft =
          performance.now() - startedAt < this.#options.timeoutMs * (1 - replicaTimeoutShare)
        if (next === undefined || !isTimeLeft) throw error
        server = next
      }
    }
  }

  groups(
    keys: readonly string[],
    consistency: Consistency = this.#options.consistency,
  ): readonly string[][] {
    const written = consistency === 'session' ? this.#tracker?.unreplicatedKeys(keys) : undefined
    if (written === undefined || written.size === 0) return [[...keys]]
    const others = keys.filter((key) => !written.has(key))
    return others.length === 0 ? [[...written]] : [[...written], others]
  }

  beginWrite(keys: readonly string[] | undefined): (() => void) | undefined {
    return this.#tracker?.beginWrite(keys)
  }

  expectCommit(keys: readonly string[], maxMs: number): void {
    this.#tracker?.expectWrite(keys, maxMs)
  }

  consistencyToken(): Promise<string> {
    return readToken(this.#primary)
  }

  observe(token: string): void {
    this.#tracker?.observe(token)
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#tracker?.close()
    await Promise.all(this.#replicas.map(({ connection }) => connection.close()))
  }

  #connected(connect: ConnectReplica): Replica<Server> {
    const server = connect((isConnected) => {
      // What is known about one connection is not true for another one, which may be to another server.
      this.#group.onStateChange(replica, false)
      server.setConnected(isConnected)
      if (isConnected) this.#group.onStateChange(replica, true)
    })
    const replica = newReplica(server, this.#primary)
    // The position of its server is unknown.
    replica.appliedThrough = -1
    return replica
  }

  /** The connection of a replica may have been lost since the replica was chosen, and another one opened. */
  #runOn(
    server: Server,
    statement: Statement,
    values: readonly Parameter[],
    keys: readonly string[],
    consistency: Consistency,
    leftMs: number,
  ): Promise<readonly Row[]> {
    if (server === this.#primary) return server.run(statement, values, Math.max(1, leftMs))
    const timeoutMs = this.#options.timeoutMs * replicaTimeoutShare
    const isAllowed = () => this.#group.canRead(server, keys, consistency)
    return server.runOnce(statement, values, Math.max(1, Math.min(leftMs, timeoutMs)), isAllowed)
  }

  /** Started by the first read, so that a store without reads runs no timer. */
  #startHealthChecks(): void {
    if (this.#timer !== undefined) return
    this.#timer = setInterval(() => void this.#group.checkHealth(), healthCheckMs).unref()
    for (const { connection } of this.#replicas) connection.tryConnect()
  }
}
