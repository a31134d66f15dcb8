import { type History, type HistoryEntry, isAcknowledged, resultOf } from '../history.ts'

export type ClearCall =
  | { readonly op: 'set' | 'get' | 'strong get' | 'add'; readonly key: string }
  | { readonly op: 'clear' }

/** After this time every read notices a clear, if nothing fails. In virtual milliseconds. */
const refreshMs = 1_100

type Entry = HistoryEntry<ClearCall>

/** For this time after a clear a process may restore the id that it replaced, if the backend has lost it. */
const restoreMs = 2_100
/**
 * For this time after a request for the id that fails, reads that need not be strong do not wait for the next attempt: two
 * seconds after it has failed, which takes up to its deadline.
 */
const failingMs = 2_300
/** For this time a process may use an outdated list of nodes. */
const nodesDelayMs = 60

/**
 * Judges that no read returns what was written before an acknowledged clear. Where the backend has lost what it knew of
 * the clear, only the process that cleared can still know of it.
 */
export function judgeClears(history: History<ClearCall>): string | undefined {
  const { entries } = history
  const writes = new Map<unknown, Entry>()
  for (const entry of entries) {
    const isWrite = entry.call.op === 'set' || entry.call.op === 'add'
    if (isWrite && resultOf(entry) !== undefined) writes.set(resultOf(entry), entry)
  }
  const clears = entries.filter((entry) => entry.call.op === 'clear' && isAcknowledged(entry))
  for (const read of entries) {
    if (read.call.op !== 'strong get' && read.call.op !== 'get') continue
    const write = writes.get(resultOf(read))
    if (write === undefined) continue
    const clear = clears.find(
      (each) => isBefore(write, each) && isBefore(each, read) && mustNotice(read, each, history),
    )
    if (clear === undefined) continue
    return (
      `${read.process} read ${write.call.op === 'clear' ? '' : write.call.key} at ${read.invokedAt} ms: the value that ` +
      `${write.process} wrote at ${write.invokedAt} ms, and that ${clear.process} cleared at ${clear.invokedAt} ms.`
    )
  }
  return undefined
}

function isBefore(first: Entry, second: Entry): boolean {
  return (first.settled ?? Infinity) < second.invoked
}

/** A strong read notices a clear at once, any other within the refresh interval. */
function mustNotice(read: Entry, clear: Entry, history: History<ClearCall>): boolean {
  if (read.process !== clear.process && isForgotten(clear, read, history)) return false
  if (read.call.op === 'strong get') return !hasFailed(read.invokedAt, read, history)
  // After a failed read of the id, the known one is used while it is read again.
  const isUnreachable = hasFailed(read.invokedAt - failingMs, read, history)
  return read.invokedAt > clear.settledAt + refreshMs && !isUnreachable
}

/**
 * Whether a request of the reading process for the id has failed since this time. Then the process goes on with the copies
 * of the id that it can reach, and with the id it knows if it can reach none: a clear is acknowledged when one copy
 * contains its id, and that may be another one. To require a majority of the copies instead would make the cache
 * unavailable when two nodes are.
 */
function hasFailed(
  since: number,
  { process, settled = Infinity }: Entry,
  { requests }: History,
): boolean {
  return requests.some(
    (request) =>
      request.hasFailed &&
      request.process === process &&
      request.keys.some((key) => key.includes('~generation')) &&
      request.sentAt >= since &&
      request.sent < settled,
  )
}

/** Whether the backend may have lost the id of a clear, or went back to an older one, before the read. */
function isForgotten(clear: Entry, read: Entry, { nodeChanges, losses }: History): boolean {
  const { settled = Infinity } = read
  const hasChanged = nodeChanges.some(
    ({ order, at }) => order < settled && at + nodesDelayMs > clear.invokedAt,
  )
  const hasLost = losses.some(
    ({ key, order, at }) =>
      key.includes('~generation') &&
      order > clear.invoked &&
      order < settled &&
      at < clear.settledAt + restoreMs,
  )
  return hasChanged || hasLost
}
