/**
 * Which servers serve reads. When a server fails, the next one is tried, the primary last. Locks, counters, `add` and
 * `compareAndSet` always use the primary.
 * - `'primary'`: the primary.
 * - `'primaryPreferred'`: the primary, or the replicas while it is unreachable.
 * - `'replicaPreferred'`: the replicas in turn; if one fails, the primary.
 * - `'replica'`: the replicas in turn; if one fails, the next replica, and the primary last.
 * - `'any'`: the primary and the replicas in turn.
 * - `'nearest'`: the server with the shortest round trip.
 */
export type ReadFrom = (typeof readFroms)[number]

export const readFroms = [
  'primary',
  'primaryPreferred',
  'replicaPreferred',
  'replica',
  'any',
  'nearest',
] as const
