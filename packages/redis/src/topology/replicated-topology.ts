import type { Consistency } from '@stowage/core'
import {
  newReplica,
  publishTopology,
  type Replica,
  ReplicaGroup,
  ReplicationTracker,
} from '@stowage/core/internal'
import type { Connection } from '../connection/connection.ts'
import { readToken, tokenVersion } from '../consistency/consistency-token.ts'
import { readReplicationState } from '../consistency/replication-info.ts'
import type { ResolvedOptions } from '../redis-options.ts'
import { chunked, type Topology } from './topology.ts'

const updateMs = 1_000

/** Lists the replicas and connects to them. */
export interface ReplicaSource {
  /** The replicas that are known without a query. */
  readonly fixed: readonly string[]
  /** The current replicas. An address that is listed twice gets two connections. */
  addresses(): Promise<readonly string[]> | readonly string[]
  connect(address: string): Connection
  /** Whether the address has a hostname, which may resolve to another server later. */
  isHostname(address: string): boolean
  close?(): Promise<void>
}

interface Member extends Replica<Connection> {
  readonly address: string
  readonly renewAt: number
  /** Whether a new connection is about to replace this one. */
  isBeingReplaced: boolean
}

/**
 * A primary with replicas that serve reads. Writes go to the primary, as do reads that no replica is recent enough for.
 * Replicas that do not reply are skipped.
 */
export class ReplicatedTopology implements Topology {
  readonly #primary: Connection
  readonly #source: ReplicaSource
  readonly #options: ResolvedOptions
  readonly #members: Member[] = []
  /** Removed members whose connections still have commands in flight. */
  readonly #closing = new Set<Promise<void>>()
  /** `undefined` unless the consistency is `'session'`. */
  readonly #tracker: ReplicationTracker<Connection> | undefined
  readonly #group: ReplicaGroup<Connection>
  #timer: NodeJS.Timeout | undefined
  #primaryWasConnected = false
  #closed = false

  constructor(primary: Connection, source: ReplicaSource, options: ResolvedOptions) {
    this.#primary = primary
    this.#source = source
    this.#options = options
    const { consistency, readFrom, assumedLagMs } = options
    const observed = { replicas: this.#members, readState: readReplicationState }
    if (consistency === 'session') {
      this.#tracker = new ReplicationTracker({ ...observed, tokenVersion, assumedLagMs })
    }
    this.#group = new ReplicaGroup({
      ...observed,
      store: 'redis',
      primary,
      readFrom,
      tracker: this.#tracker,
    })
    primary.onStateChange((connected) => connected && this.#onPrimaryConnected())
    this.#reconcile(source.fixed)
  }

  primary(): Connection {
    return this.#primary
  }

  reader(
    keys: readonly string[],
    consistency: Consistency = this.#options.consistency,
    failed?: readonly Connection[],
  ): Connection | undefined {
    this.#startUpdates()
    return this.#group.reader(keys, consistency, failed)
  }

  async primaries(): Promise<readonly Connection[]> {
    return [this.#primary]
  }

  async clockServer(): Promise<Connection> {
    return this.#primary
  }

  writeGroups(keys: readonly string[]): string[][] {
    return chunked(keys)
  }

  /** Separates keys that were just written, so that the others need not be read from the primary too. */
  readGroups(
    keys: readonly string[],
    consistency: Consistency = this.#options.consistency,
  ): string[][] {
    const written = consistency === 'session' ? this.#tracker?.unreplicatedKeys(keys) : undefined
    if (written === undefined || written.size === 0) return chunked(keys)
    const others = keys.filter((key) => !written.has(key))
    return [...chunked([...written]), ...chunked(others)]
  }

  beginWrite(keys: readonly string[] | undefined): (() => void) | undefined {
    return this.#tracker?.beginWrite(keys)
  }

  consistencyToken(): Promise<string> {
    return readToken([this.#primary])
  }

  observe(token: string): void {
    this.#tracker?.observe(token)
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#timer)
    this.#tracker?.close()
    const replicas = this.#members.map(({ connection }) => connection)
    const closing = [this.#primary, ...replicas].map((connection) => connection.close())
    await Promise.all([...closing, ...this.#closing, this.#source.close?.()])
  }

  /** After a reconnect the address may lead to another primary: the replicas must show that they replicate it. */
  #onPrimaryConnected(): void {
    if (this.#primaryWasConnected) this.#tracker?.requireCatchUp()
    this.#primaryWasConnected = true
  }

  /** Called by each read, so that a store without reads runs no timer. */
  #startUpdates(): void {
    if (this.#timer !== undefined || this.#closed) return
    this.#timer = setInterval(() => void this.#update(), updateMs).unref()
    void this.#update()
  }

  async #update(): Promise<void> {
    try {
      this.#reconcile(await this.#source.addresses())
    } catch {
      // Keep the current replicas.
    }
    if (this.#closed) return
    this.#renewOne()
    await this.#group.checkHealth()
  }

  /** Adds and removes members until they match the list, including repeated addresses. */
  #reconcile(addresses: readonly string[]): void {
    if (this.#closed) return
    const missing = [...addresses]
    for (const member of [...this.#members]) {
      const index = missing.indexOf(member.address)
      if (index < 0) {
        publishTopology({ store: 'redis', change: 'removed', server: member.address })
        this.#remove(member)
        this.#removeReplacedBy(member)
        // A member that is being replaced does not count: the new one has the same address.
      } else if (!member.isBeingReplaced) missing.splice(index, 1)
    }
    for (const server of missing) {
      publishTopology({ store: 'redis', change: 'added', server })
      this.#add(server)
    }
  }

  #add(address: string): void {
    const connection = this.#source.connect(address)
    const renewMs = this.#source.isHostname(address) ? this.#options.renewReplicasMs : Infinity
    // Jitter, so that the connections are not all renewed at once.
    const renewAt = performance.now() + renewMs * (0.75 + Math.random() / 2)
    const replica = newReplica(connection, this.#primary)
    const member: Member = { ...replica, address, renewAt, isBeingReplaced: false }
    // After the first read, the position of a new connection's server is unknown until the first INFO.
    member.appliedThrough = this.#timer === undefined ? 0 : -1
    connection.onStateChange((connected) => {
      this.#group.onStateChange(member, connected)
      if (connected) this.#removeReplacedBy(member)
    })
    this.#members.push(member)
    if (this.#timer !== undefined) connection.tryConnect()
  }

  #removeReplacedBy(member: Member): void {
    const replaced = this.#members.find(
      ({ isBeingReplaced, address }) => isBeingReplaced && address === member.address,
    )
    if (replaced !== undefined && !member.isBeingReplaced) this.#remove(replaced)
  }

  /** Replaces one connection that is due. The old one serves reads until the new one is connected. */
  #renewOne(): void {
    const now = performance.now()
    const due = this.#members.find(
      ({ renewAt, isBeingReplaced }) => renewAt < now && !isBeingReplaced,
    )
    if (due === undefined) return
    due.isBeingReplaced = true
    this.#add(due.address)
  }

  #remove(member: Member): void {
    this.#members.splice(this.#members.indexOf(member), 1)
    const closing = member.connection.close().finally(() => this.#closing.delete(closing))
    this.#closing.add(closing)
  }
}
