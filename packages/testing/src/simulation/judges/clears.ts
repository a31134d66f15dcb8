import type { ClearCall } from '../scenarios/generations.ts'
import { type History, type HistoryEntry, isAcknowledged, resultOf } from './history.ts'

/** After this time every read notices a clear, if nothing fails. In virtual milliseconds. */
const refreshMs = 1_050

type Entry = HistoryEntry<ClearCall>

/** Judges that no read returns what was written before an acknowledged clear. */
export function judgeClears({ entries, isFaultless }: History<ClearCall>): string | undefined {
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
      (each) =>
        isBefore(write, each) && isBefore(each, read) && mustNotice(read, each, isFaultless),
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
function mustNotice(read: Entry, clear: Entry, isFaultless: boolean): boolean {
  if (read.call.op === 'strong get') return true
  return isFaultless && read.invokedAt > clear.settledAt + refreshMs
}
