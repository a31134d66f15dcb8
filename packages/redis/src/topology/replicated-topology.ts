import type { Consistency } from '@stowage/core'
import { chunked } from '../commands.ts'
import type { Connection } from '../connection/connection.ts'
import { tokenOf } from '../consistency/consistency-token.ts'
import { Fence } from '../consistency/replication-tracker.ts'
import type { ResolvedOptions } from '../redis-options.ts'
import { type Replica, ReplicaGroup, replicaOf } from './replica-group.ts'
import type { Topology } from './topology.ts'

/** Between two looks at the servers. */
const examineMs = 1_000

/** Where the replicas are. */
export interface ReplicaSource {
  /** Those there are now; an address given twice gets two connections. */
  addresses(): Promise<readonly string[]> | readonly string[]
  /** A new connection to one of them. */
  connect(address: string): Connection
  /** Whether the address is a name, which may lead elsewhere later. */
  isName(address: string): boolean
  close?(): Promise<void>
}

interface Member extends Replica {
  readonly address: string
  readonly renewAt: number
  /** Whether another one has been made to take over. */
  leaving: boolean
}

/**
 * A primary and replicas that share the reads. Writes, and reads a replica cannot be trusted with, go to the primary;
 * a replica that does not answer is passed over.
 */
export class ReplicatedTopology implements Topology {
  readonly #primary: Connection
  readonly #source: ReplicaSource
  readonly #options: ResolvedOptions
  readonly #members: Member[] = []
  /** The last answers of those that are members no more. */
  readonly #leavings = new Set<Promise<void>>()
  /** `undefined` where reads are as old as they come. */
  readonly #fence: Fence | undefined
  readonly #group: ReplicaGroup
  #timer: NodeJS.Timeout | undefined
  #wasUp = false
  #closed = false

  constructor(primary: Connection, source: ReplicaSource, options: ResolvedOptions) {
    this.#primary = primary
    this.#source = source
    this.#options = options
    if (options.consistency === 'session') {
      this.#fence = new Fence(this.#members, options.assumedLagMs)
    }
    this.#group = new ReplicaGroup(primary, this.#members, options.readFrom, this.#fence)
    primary.onChange((up) => up && this.#primaryArrived())
    const known = source.addresses()
    if (!(known instanceof Promise)) this.#adopt(known)
  }

  primary(): Connection {
    return this.#primary
  }

  reader(
    keys: readonly string[],
    consistency: Consistency = this.#options.consistency,
    failed?: readonly Connection[],
  ): Connection | undefined {
    this.#watch()
    return this.#group.reader(keys, consistency, failed)
  }

  async primaries(): Promise<readonly Connection[]> {
    return [this.#primary]
  }

  groups(keys: readonly string[]): string[][] {
    return chunked(keys)
  }

  /** One key that was just written must not take the others to the primary. */
  readGroups(
    keys: readonly string[],
    consistency: Consistency = this.#options.consistency,
  ): string[][] {
    const written = consistency === 'session' ? this.#fence?.written(keys) : undefined
    if (written === undefined || written.size === 0) return chunked(keys)
    const others = keys.filter((key) => !written.has(key))
    return [...chunked([...written]), ...chunked(others)]
  }

  writing(keys: readonly string[] | undefined): (() => void) | undefined {
    return this.#fence?.writing(keys)
  }

  token(): Promise<string> {
    return tokenOf([this.#primary])
  }

  observe(token: string): void {
    this.#fence?.observe(token)
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#timer)
    this.#fence?.close()
    const replicas = this.#members.map(({ connection }) => connection)
    const closing = [this.#primary, ...replicas].map((connection) => connection.close())
    await Promise.all([...closing, ...this.#leavings, this.#source.close?.()])
  }

  /** The address may lead to another primary than before: the replicas have to show that they follow it. */
  #primaryArrived(): void {
    if (this.#wasUp) this.#fence?.raise()
    this.#wasUp = true
  }

  /** From the first read on. */
  #watch(): void {
    if (this.#timer !== undefined || this.#closed) return
    this.#timer = setInterval(() => void this.#look(), examineMs).unref()
    void this.#look()
  }

  async #look(): Promise<void> {
    try {
      this.#adopt(await this.#source.addresses())
    } catch {
      // Those known so far are still the best guess.
    }
    if (this.#closed) return
    this.#renew()
    await this.#group.examine()
  }

  /** Makes the members be those of the list, each as often as it is there. */
  #adopt(addresses: readonly string[]): void {
    if (this.#closed) return
    const missing = [...addresses]
    for (const member of [...this.#members]) {
      // Somebody else stands for the address of one that is leaving.
      const index = member.leaving
        ? addresses.indexOf(member.address)
        : missing.indexOf(member.address)
      if (index < 0) this.#dismiss(member)
      else if (!member.leaving) missing.splice(index, 1)
    }
    for (const address of missing) this.#join(address)
  }

  #join(address: string): void {
    const connection = this.#source.connect(address)
    const renewMs = this.#source.isName(address) ? this.#options.renewReplicasMs : Infinity
    // Spread, so that not all are renewed at once.
    const renewAt = performance.now() + renewMs * (0.75 + Math.random() / 2)
    const replica = replicaOf(connection, this.#primary)
    const member: Member = { ...replica, address, renewAt, leaving: false }
    // Which server a new connection leads to, and what it has, is not known before it is asked.
    member.safe = this.#timer === undefined ? 0 : -1
    connection.onChange((up) => {
      if (up) this.#arrived(member)
      else this.#fence?.distrust(member)
    })
    this.#members.push(member)
    if (this.#timer !== undefined) connection.wake()
  }

  #arrived(member: Member): void {
    this.#fence?.follow(member)
    const old = this.#members.find(({ leaving, address }) => leaving && address === member.address)
    if (old !== undefined && !member.leaving) this.#dismiss(old)
  }

  /** Has the connection that is due replaced by a new one, which takes over once it is up. */
  #renew(): void {
    const now = performance.now()
    const due = this.#members.find(({ renewAt, leaving }) => renewAt < now && !leaving)
    if (due === undefined) return
    due.leaving = true
    this.#join(due.address)
  }

  #dismiss(member: Member): void {
    this.#members.splice(this.#members.indexOf(member), 1)
    const leaving = member.connection.close().finally(() => this.#leavings.delete(leaving))
    this.#leavings.add(leaving)
  }
}
