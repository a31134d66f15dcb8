import { checkChoice, checkInteger, checkTimeout } from '../options/check-options.ts'
import { type Consistency, consistencies } from '../store.ts'
import type { Duration } from '../time/duration.ts'
import { type ReadFrom, readFroms } from './read-from.ts'

/** The options of a driver whose replicas serve reads, besides `replicas`. */
export interface ReplicaOptions {
  /**
   * Connections to each of `replicas`. Use several for an endpoint that routes each connection to one of the replicas, such as
   * the reader endpoint of ElastiCache.
   * @default 1
   */
  readonly replicaConnections?: number | undefined
  /**
   * Maximum age of a connection to a replica given by hostname. A new connection then replaces it, because the name may
   * resolve to another replica.
   * @default '5m'
   */
  readonly renewReplicasAfter?: Duration | undefined
  /** @default 'replicaPreferred' with `replicas`, otherwise 'primary' */
  readonly readFrom?: ReadFrom | undefined
  /**
   * How recent a read must be. `'session'`: never older than what this process has written or observed. `'eventual'`:
   * as old as the replica is. `'strong'`: read from the primary.
   * @default 'session'
   */
  readonly consistency?: Consistency | undefined
  /** Maximum replication lag that is assumed if the user may not read positions, or the service has none. @default '2s' */
  readonly assumedLag?: Duration | undefined
}

/** {@link ReplicaOptions}, checked, with their defaults. */
export interface ResolvedReplicaOptions {
  readonly replicaConnections: number
  readonly renewReplicasMs: number
  readonly readFrom: ReadFrom
  readonly consistency: Consistency
  readonly assumedLagMs: number
}

export const replicaOptionNames: Readonly<Record<keyof ReplicaOptions, true>> = {
  replicaConnections: true,
  renewReplicasAfter: true,
  readFrom: true,
  consistency: true,
  assumedLag: true,
}

/**
 * @param driver for the error messages
 * @throws CacheError `ERR_CACHE_CONFIG`
 */
export function resolveReplicaOptions(
  driver: string,
  options: ReplicaOptions & { readonly replicas?: readonly string[] | undefined },
  maxConnections?: number,
): ResolvedReplicaOptions {
  const { replicas = [], replicaConnections = 1, renewReplicasAfter = '5m' } = options
  const { readFrom = replicas.length > 0 ? 'replicaPreferred' : 'primary' } = options
  const { consistency = 'session', assumedLag = '2s' } = options
  const connections = `${driver}: replicaConnections`
  return {
    replicaConnections: checkInteger(connections, replicaConnections, 1, maxConnections),
    renewReplicasMs: checkTimeout(`${driver}: renewReplicasAfter`, renewReplicasAfter),
    readFrom: checkChoice(`${driver}: readFrom`, readFrom, readFroms),
    consistency: checkChoice(`${driver}: consistency`, consistency, consistencies),
    assumedLagMs: checkTimeout(`${driver}: assumedLag`, assumedLag),
  }
}
