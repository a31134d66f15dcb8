import {
  type History,
  type HistoryEntry,
  isAcknowledged,
  resultOf,
} from '@stowage/testing/simulation'
import { failingMs, hasFailedId, isForgotten } from '../generation-ids.ts'

export type ClearCall =
  | { readonly op: 'set' | 'get' | 'strong get' | 'add'; readonly key: string }
  | { readonly op: 'clear' }

/** After this time every read notices a clear, if nothing fails. In virtual milliseconds. */
const refreshMs = 1_100

type Entry = HistoryEntry<ClearCall>

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
  if (read.call.op === 'strong get') return !hasFailedId(read.invokedAt, read, history)
  // After a failed read of the id, the known one is used while it is read again.
  const isUnreachable = hasFailedId(read.invokedAt - failingMs, read, history)
  return read.invokedAt > clear.settledAt + refreshMs && !isUnreachable
}
