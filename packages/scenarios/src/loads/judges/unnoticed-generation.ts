import type { History } from '@stowage/testing/simulation'
import { failingMs, hasFailedId, isForgotten, isIdKey } from '../../generation-ids.ts'
import {
  concerns,
  joinsLoad,
  type LoadEntry,
  type LoadHistory,
  type ReadValue,
  settledOf,
} from './load-history.ts'

/** How long processes use the id of a generation for reads that need not be strong. */
const generationMs = 1_000

/** The beginning of a generation, by a clear or because a process did not find the id. */
type Beginning = Pick<LoadEntry, 'process' | 'invoked' | 'invokedAt' | 'settledAt'>

/**
 * Whether a write may have taken effect in another generation than the one in which a value was read: the process of the
 * read, or of the write, need not have known that a generation had begun. Tags lie outside generations.
 */
export function isUnnoticed(history: LoadHistory, read: ReadValue, write: LoadEntry): boolean {
  const { call } = write
  if (history.traits.scan || call.op === 'invalidate') return false
  const beginnings = beginningsOf(history, read.key)
    .filter(({ invoked }) => invoked <= settledOf(write))
    .filter(({ invoked }) => invoked < settledOf(read.entry))
  if (beginnings.some((beginning) => !mustNotice(history, read, beginning))) return true
  // A clear rejects unless it has stored its id. Any other write is made with the id that its process knows.
  if (call.op === 'clear') return false
  const isMisplaced = hasFailedId(write.invokedAt, write, history.history)
  return beginnings.some(
    (beginning) =>
      isMisplaced ||
      (beginning.process !== write.process && isForgotten(beginning, write, history.history)),
  )
}

/** A strong read notices another generation at once, any other within the refresh interval. */
function mustNotice({ history }: LoadHistory, read: ReadValue, beginning: Beginning): boolean {
  const { entry } = read
  if (entry.process !== beginning.process && isForgotten(beginning, entry, history)) return false
  // A load confirms the id when it stores its value.
  if (entry.call.op !== 'remember' || joinsLoad(read)) {
    return !hasFailedId(entry.invokedAt, entry, history)
  }
  if (entry.invokedAt < beginning.settledAt + generationMs) return false
  return !hasFailedId(entry.invokedAt - failingMs, entry, history)
}

function beginningsOf({ entries, history }: LoadHistory, key: string): readonly Beginning[] {
  const clears = entries.filter((entry) => entry.call.op === 'clear' && concerns(entry, key))
  return [...clears, ...storedIds(history, key)]
}

/** The ids that were stored after one was lost or could not be read, also those that only repair what was lost. */
function storedIds({ requests, losses }: History, key: string): readonly Beginning[] {
  const isRelevant = (each: string) => isIdKey(each) && (key.startsWith('ns/') || !isInner(each))
  const lost = losses.filter((loss) => isRelevant(loss.key)).map(({ order }) => order)
  const failed = requests
    .filter(({ hasFailed, keys }) => hasFailed && keys.some(isRelevant))
    .map(({ sent }) => sent)
  const from = Math.min(...lost, ...failed)
  return requests
    .filter(({ operation, keys }) => operation !== 'get' && keys.some(isRelevant))
    .filter(({ executed = 0 }) => executed > from)
    .map(({ process, sent, sentAt, executedAt }) => {
      return { process, invoked: sent, invokedAt: sentAt, settledAt: executedAt }
    })
}

function isInner(storageKey: string): boolean {
  return storageKey.includes(':ns:')
}
