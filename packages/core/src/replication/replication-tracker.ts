import { parseToken } from './consistency-token.ts'
import type {
  ReadReplicationState,
  ReplicatedServer,
  ReplicationInfo,
  ReplicationState,
} from './replication-state.ts'

/** Beyond this number of written keys, every key counts as written. */
const maxTrackedKeys = 100_000
const minPollMs = 1
const maxPollMs = 10
/** Maximum delay between two reads of a server that is unreachable or replicates another primary. */
const maxRetryMs = 500

export interface ReplicationTrackerOptions<Server extends ReplicatedServer> {
  /** The owner may add replicas to the array and remove them. */
  readonly replicas: readonly TrackedReplica<Server>[]
  readonly readState: ReadReplicationState<Server>
  /** Of the tokens of the driver. */
  readonly tokenVersion: string
  /** Waited where the user lacks the permission to read states. */
  readonly assumedLagMs: number
}

/** A replica whose replication is tracked. */
export interface TrackedReplica<Server extends ReplicatedServer = ReplicatedServer> {
  readonly connection: Server
  readonly primary: Server
  /** The replica has applied every write up to this number; −1 if that is unknown even for past writes. */
  appliedThrough: number
  /** Whether its state is being polled. */
  isPolled: boolean
  /** The last known replication state. */
  info: ReplicationInfo | undefined
}

/**
 * Tracks which replicas have applied the writes of this process, without guessing a lag. Each write gets a number.
 * While a replica lacks writes, the state of its primary is read once, and that of the replica is polled until it has
 * reached the primary's offset: the replica has then applied every write that completed before. If the user lacks the
 * permission to read states, an assumed lag is waited instead.
 */
export class ReplicationTracker<Server extends ReplicatedServer = ReplicatedServer> {
  readonly #options: ReplicationTrackerOptions<Server>
  readonly #replicas: readonly TrackedReplica<Server>[]
  /** The last write of each key that not every replica is known to have applied, in ascending order. */
  readonly #lastWrites = new Map<string, number>()
  /** Numbers of the writes in flight, in ascending order. */
  readonly #inFlight = new Set<number>()
  /** The offsets that replicas must have reached, by replication ID. From the tokens of other processes. */
  readonly #minOffsets = new Map<string, number>()
  /** Keys that transactions may still write. */
  readonly #expectedUntil = new Map<string, number>()
  #lastWrite = 0
  /** The minimum of `requiredWrite`: every key counts as written by this write. */
  #minWrite = 0
  #closed = false

  constructor(options: ReplicationTrackerOptions<Server>) {
    this.#options = options
    this.#replicas = options.replicas
  }

  /** Must be called before a write, with `undefined` for all keys. Call the result once the write is settled. */
  beginWrite(keys: readonly string[] | undefined): () => void {
    const write = ++this.#lastWrite
    this.#inFlight.add(write)
    if (keys === undefined || this.#lastWrites.size + keys.length > maxTrackedKeys) {
      this.#minWrite = write
    } else for (const key of keys) this.#recordWrite(key, write)
    return () => {
      this.#inFlight.delete(write)
      this.#pollAll()
    }
  }

  /** The keys are written by a transaction that ends within `maxMs`. Until then, no replica serves them. */
  expectWrite(keys: readonly string[], maxMs: number): void {
    const until = performance.now() + maxMs
    for (const key of keys) this.#expectedUntil.set(key, until)
    const end = () => {
      const written = keys.filter((key) => this.#expectedUntil.get(key) === until)
      for (const key of written) this.#expectedUntil.delete(key)
      this.beginWrite(written)()
    }
    setTimeout(end, maxMs).unref()
  }

  /** The number of the write that a replica must have applied to serve these keys. */
  requiredWrite(keys: readonly string[]): number {
    let required = this.#minWrite
    if (this.#isExpected(keys)) return Infinity
    if (this.#lastWrites.size === 0) return required
    for (const key of keys) required = Math.max(required, this.#lastWrites.get(key) ?? 0)
    return required
  }

  /** The keys whose last write may not have been applied by every replica. */
  unreplicatedKeys(keys: readonly string[]): ReadonlySet<string> {
    const [written, expected] = [this.#lastWrites, this.#expectedUntil]
    if (written.size === 0 && expected.size === 0) return new Set()
    return new Set(keys.filter((key) => written.has(key) || expected.has(key)))
  }

  /** Whether the replica has applied all writes up to that number, and everything observed. */
  isCaughtUp(replica: TrackedReplica<Server>, requiredWrite: number): boolean {
    return replica.appliedThrough >= requiredWrite && this.#hasReachedMinOffset(replica)
  }

  /** Discards what is known about a replica. After a disconnect it may have lost data. */
  reset(replica: TrackedReplica<Server>): void {
    replica.appliedThrough = -1
    replica.info = undefined
  }

  /** Polls the state of a replica until it is caught up or disconnected. */
  poll(replica: TrackedReplica<Server>): void {
    if (replica.isPolled || this.#closed) return
    replica.isPolled = true
    void this.#pollUntilCaughtUp(replica)
  }

  /** Requires all replicas to catch up, because keys may have moved. Until then the primaries serve reads. */
  requireCatchUp(): void {
    this.#minWrite = ++this.#lastWrite
    this.#pollAll()
  }

  /** Requires replicas to reach the position of a token of another process. */
  observe(token: string): void {
    const positions = parseToken(this.#options.tokenVersion, token)
    if (positions === undefined) return
    const known = positions.every(({ replicationId }) => this.#isKnown(replicationId))
    if (known && positions.length > 0) {
      for (const { replicationId, offset } of positions) {
        this.#raiseMinOffset(replicationId, offset)
      }
      this.#pollAll()
    } else this.requireCatchUp()
  }

  close(): void {
    this.#closed = true
  }

  #pollAll(): void {
    for (const replica of this.#replicas) this.poll(replica)
  }

  async #pollUntilCaughtUp(replica: TrackedReplica<Server>): Promise<void> {
    let retryMs = maxPollMs
    while (this.#isBehind(replica)) {
      const settled = this.#settledThrough()
      if (await this.#reachesPrimary(replica)) {
        replica.appliedThrough = settled
        this.#forgetReplicatedKeys()
        retryMs = maxPollMs
      } else {
        await delay(retryMs)
        retryMs = Math.min(retryMs * 2, maxRetryMs)
      }
    }
    // No await after the last check: a write that begins now must start a new poll.
    replica.isPolled = false
  }

  /** Resolves to true once the replica has applied everything that its primary has produced up to now. */
  async #reachesPrimary(replica: TrackedReplica<Server>): Promise<boolean> {
    // A token observed later than this may stand for writes after the offset that the primary reports.
    const observed = new Map(this.#minOffsets)
    const [target, state] = [
      await this.#options.readState(replica.primary),
      await this.#readState(replica),
    ]
    if (target === 'forbidden' || state === 'forbidden') {
      await delay(this.#options.assumedLagMs)
      return true
    }
    if (target === 'unreachable' || !(await this.#reachesOffset(replica, target))) return false
    // A replica cannot reach more than the primary's offset, even if a token requires it.
    const minOffset = this.#minOffsets.get(target.replicationId) ?? 0
    if (minOffset > target.offset && observed.get(target.replicationId) === minOffset) {
      this.#minOffsets.set(target.replicationId, target.offset)
    }
    return true
  }

  #isBehind(replica: TrackedReplica<Server>): boolean {
    if (this.#closed || !this.#replicas.includes(replica)) return false
    return !this.isCaughtUp(replica, this.#lastWrite) && replica.connection.tryConnect()
  }

  /** The highest number up to which every write is settled. */
  #settledThrough(): number {
    const [oldest] = this.#inFlight
    return oldest === undefined ? this.#lastWrite : oldest - 1
  }

  /** Resolves to whether the replica reaches the offset before it disconnects or leaves the stream. */
  async #reachesOffset(
    replica: TrackedReplica<Server>,
    { isPrimary, replicationId, offset }: ReplicationInfo,
  ): Promise<boolean> {
    if (!isPrimary) return false
    let pollMs = minPollMs
    while (!this.#closed) {
      const { info } = replica
      if (info === undefined || !replicates(info, replicationId)) return false
      if (info.offset >= offset) return true
      await delay(pollMs)
      pollMs = Math.min(pollMs * 2, maxPollMs)
      if ((await this.#readState(replica)) === 'unreachable') return false
    }
    return false
  }

  async #readState(replica: TrackedReplica<Server>): Promise<ReplicationState> {
    const state = await this.#options.readState(replica.connection)
    if (typeof state === 'string') return state
    const before = replica.info?.replicationId
    replica.info = state
    // The minimum offset applies to a stream that the replica has left.
    if (before !== undefined && before !== state.replicationId && this.#minOffsets.delete(before)) {
      this.#minWrite = ++this.#lastWrite
    }
    return state
  }

  /** `prefix` is the beginning of a replication ID, as in a token. */
  #isKnown(prefix: string): boolean {
    return this.#replicas.some(({ info }) => info?.replicationId.startsWith(prefix))
  }

  #raiseMinOffset(prefix: string, offset: number): void {
    for (const { info } of this.#replicas) {
      const replicationId = info?.replicationId
      if (replicationId?.startsWith(prefix) !== true) continue
      const minOffset = this.#minOffsets.get(replicationId) ?? 0
      this.#minOffsets.set(replicationId, Math.max(offset, minOffset))
    }
  }

  #hasReachedMinOffset({ info }: TrackedReplica<Server>): boolean {
    if (this.#minOffsets.size === 0) return true
    // Before its state was read, nothing is known about the replica.
    return info !== undefined && info.offset >= (this.#minOffsets.get(info.replicationId) ?? 0)
  }

  #isExpected(keys: readonly string[]): boolean {
    return this.#expectedUntil.size > 0 && keys.some((key) => this.#expectedUntil.has(key))
  }

  #recordWrite(key: string, write: number): void {
    // Deleted first, because a Map keeps the position of an existing key.
    this.#lastWrites.delete(key)
    this.#lastWrites.set(key, write)
  }

  #forgetReplicatedKeys(): void {
    // A replica that was reset must catch up with all writes before it serves reads.
    const confirmed = this.#replicas.filter(({ appliedThrough }) => appliedThrough >= 0)
    const appliedByAll = Math.min(...confirmed.map(({ appliedThrough }) => appliedThrough))
    for (const [key, write] of this.#lastWrites) {
      if (write > appliedByAll) break
      this.#lastWrites.delete(key)
    }
  }
}

/** Whether a server is connected to a primary of that stream; of any one if `replicationId` is `undefined`. */
export function replicates(info: ReplicationInfo, replicationId: string | undefined): boolean {
  const isSameStream = replicationId === undefined || info.replicationId === replicationId
  return !info.isPrimary && info.isLinked && isSameStream
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref())
}
