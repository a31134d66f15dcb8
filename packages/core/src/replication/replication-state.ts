/** The replication state of a server. */
export interface ReplicationInfo {
  /** Whether it accepts writes. */
  readonly isPrimary: boolean
  /** Identifies the replication stream: offsets of different streams cannot be compared. At least 12 hexadecimal digits. */
  readonly replicationId: string
  /** Bytes of the stream that a primary has produced, or that a replica has applied (not just received). */
  readonly offset: number
  /** Whether a replica is connected to its primary. Always true for a primary. */
  readonly isLinked: boolean
}

/** `'unreachable'`: the server is disconnected or did not reply. `'forbidden'`: the user lacks the permission. */
export type ReplicationState = ReplicationInfo | 'unreachable' | 'forbidden'

/** A connection to a primary or to a replica. */
export interface ReplicatedServer {
  /** `host:port`, if it is known. */
  readonly address?: string | undefined
  /** Whether it is connected. Starts to connect otherwise. */
  tryConnect(): boolean
}

/** Reads the state of a server. Never rejects. */
export type ReadReplicationState<Server> = (server: Server) => Promise<ReplicationState>
