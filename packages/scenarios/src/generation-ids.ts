import type { History, HistoryEntry } from '@stowage/testing/simulation'

/** For this time after a clear a process may restore the id that it replaced, if the backend has lost it. */
const restoreMs = 2_100
/**
 * For this time after a request for the id that fails, reads that need not be strong do not wait for the next attempt: two
 * seconds after it has failed, which takes up to its deadline.
 */
export const failingMs = 2_300
/** For this time a process may use an outdated list of nodes. */
const nodesDelayMs = 60

/** Whether a storage key is that of a copy of the id of a generation. */
export function isIdKey(storageKey: string): boolean {
  return storageKey.includes('~generation')
}

/**
 * Whether a request of the reading process for the id has failed since this time. Then the process goes on with the copies
 * of the id that it can reach, and with the id it knows if it can reach none: a clear is acknowledged when one copy
 * contains its id, and that may be another one. To require a majority of the copies instead would make the cache
 * unavailable when two nodes are.
 */
export function hasFailedId(
  since: number,
  { process, settled = Infinity }: HistoryEntry,
  { requests }: History,
): boolean {
  return requests.some(
    (request) =>
      request.hasFailed &&
      request.process === process &&
      request.keys.some(isIdKey) &&
      request.sentAt >= since &&
      request.sent < settled,
  )
}

/** Whether the backend may have lost the id of a clear, or went back to an older one, before the read. */
export function isForgotten(
  clear: Pick<HistoryEntry, 'invoked' | 'invokedAt' | 'settledAt'>,
  { settled = Infinity }: HistoryEntry,
  { nodeChanges, losses }: History,
): boolean {
  const hasChanged = nodeChanges.some(
    ({ order, at }) => order < settled && at + nodesDelayMs > clear.invokedAt,
  )
  const hasLost = losses.some(
    ({ key, order, at }) =>
      isIdKey(key) && order > clear.invoked && order < settled && at < clear.settledAt + restoreMs,
  )
  return hasChanged || hasLost
}
