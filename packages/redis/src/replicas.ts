import { chunked } from './commands.ts'
import type { Connection } from './connection.ts'
import { Fence, type Follower } from './fence.ts'
import type { Consistency, ReadFrom } from './redis-options.ts'
import type { Topology } from './topology.ts'

/**
 * A primary and replicas that share the reads. Writes, and reads a replica cannot be trusted with, go to the primary;
 * a replica that does not answer is passed over.
 */
export class ReplicatedTopology implements Topology {
  readonly #primary: Connection
  readonly #followers: readonly Follower[]
  readonly #readFrom: ReadFrom
  /** `undefined` where a read may be older than a write of this process. */
  readonly #fence: Fence | undefined
  #turn = 0

  constructor(
    primary: Connection,
    replicas: readonly Connection[],
    readFrom: ReadFrom,
    consistency: Consistency,
  ) {
    this.#primary = primary
    this.#followers = replicas.map((connection) => ({ connection, safe: 0, followed: false }))
    this.#readFrom = consistency === 'strong' ? 'primary' : readFrom
    if (consistency === 'session') this.#fence = this.#build(new Fence(primary, this.#followers))
  }

  primary(): Connection {
    return this.#primary
  }

  reader(keys: readonly string[]): Connection {
    if (this.#readFrom === 'primary') return this.#primary
    const required = this.#fence?.required(keys) ?? 0
    // Around the replicas, each in its turn, past those that are away or behind.
    for (let tried = 0; tried < this.#followers.length; tried++) {
      this.#turn = (this.#turn + 1) % this.#followers.length
      const { connection, safe } = this.#followers[this.#turn] as Follower
      if (connection.wake() && safe >= required) return connection
    }
    return this.#primary
  }

  async primaries(): Promise<readonly Connection[]> {
    return [this.#primary]
  }

  groups(keys: readonly string[]): string[][] {
    return chunked(keys)
  }

  writing(keys: readonly string[] | undefined): (() => void) | undefined {
    return this.#fence?.writing(keys)
  }

  /** Whenever a server goes, nothing is certain any more; whenever one comes, it is asked. */
  #build(fence: Fence): Fence {
    const watch = (connection: Connection, followers: readonly Follower[]) =>
      connection.onChange((up) => {
        for (const follower of followers) up ? fence.follow(follower) : fence.distrust(follower)
      })
    watch(this.#primary, this.#followers)
    for (const follower of this.#followers) watch(follower.connection, [follower])
    return fence
  }

  async close(): Promise<void> {
    this.#fence?.close()
    const connections = [this.#primary, ...this.#followers.map(({ connection }) => connection)]
    await Promise.all(connections.map((connection) => connection.close()))
  }
}
