import {
  type BackendTraits,
  type History,
  isAcknowledged,
  resultOf,
} from '@stowage/testing/simulation'
import {
  agreementMs,
  type Entry,
  ends,
  type FailoverCall,
  hasCommonFallback,
  isBefore,
  isDisturbed,
  isRead,
  type PhaseChange,
  phaseOf,
} from './failover-history.ts'

export function findStaleRead(
  history: History<FailoverCall>,
  phases: readonly PhaseChange[],
  traits: BackendTraits,
): string | undefined {
  const { entries } = history
  // A write takes the next number of the sequence as its value.
  const writes = new Map(entries.map((entry) => [entry.invoked + 1, entry]))
  const changes = entries.filter((entry) => hasChanged(entry))
  for (const read of entries) {
    const write = isRead(read.call) ? writes.get(resultOf(read) as number) : undefined
    if (write === undefined) continue
    const change = changes.find(
      (each) =>
        ends(each.call, write.call) &&
        isBefore(write, each) &&
        isBefore(each, read) &&
        (mustNotice(read, each, history) ||
          (isOwnChange(read, each, write, history, phases, traits) &&
            !hasOtherGeneration(read, each, entries, phases, traits)) ||
          hasReturned(read, each, write, history, phases)),
    )
    if (change !== undefined) return message(read, write, change)
  }
  return undefined
}

/** Whether an acknowledged call has replaced or deleted something. */
function hasChanged(entry: Entry): boolean {
  if (!isAcknowledged(entry) || isRead(entry.call) || entry.call.op === 'touch') return false
  return entry.call.op !== 'add' || resultOf(entry) !== undefined
}

/**
 * A process always reads what it has changed itself, or something newer. What it changed in the primary store only, before
 * it noticed an outage that others had noticed, or until the outage ended for this process, is not in a common fallback store.
 * Nor do processes with and without a connection to the primary store agree on a generation.
 */
function isOwnChange(
  read: Entry,
  change: Entry,
  write: Entry,
  history: History<FailoverCall>,
  phases: readonly PhaseChange[],
  traits: BackendTraits,
): boolean {
  if (read.process !== change.process || isDisturbed(write, history)) return false
  if (!hasCommonFallback(traits)) return true
  if (!traits.scan) return false
  const hasEnded = phases.some(
    ({ process, phase, order }) =>
      process === read.process &&
      phase === 'primary' &&
      order > change.invoked &&
      order < (read.settled ?? Infinity),
  )
  return phaseOf(change, phases) !== 'primary' && !hasEnded
}

/**
 * Whether the generation that a process used, which could not reach the primary store, is not the one that another process
 * had begun there meanwhile.
 */
function hasOtherGeneration(
  read: Entry,
  change: Entry,
  entries: readonly Entry[],
  phases: readonly PhaseChange[],
  { scan }: BackendTraits,
): boolean {
  if (scan || phaseOf(change, phases) === 'primary') return false
  return entries.some(
    ({ call, process, invoked, invokedAt }) =>
      call.op === 'clear' &&
      process !== change.process &&
      invokedAt > change.invokedAt - agreementMs &&
      invoked < (read.settled ?? Infinity),
  )
}

/**
 * A process that has returned from an outage notices the changes that others made before, if nothing has kept them from
 * deleting their journals meanwhile, as it does for those who have not noticed the outage.
 */
function hasReturned(
  read: Entry,
  change: Entry,
  write: Entry,
  history: History<FailoverCall>,
  phases: readonly PhaseChange[],
): boolean {
  if (isDisturbed(write, history) || history.killed.includes(change.process)) return false
  const own = phases.filter(
    ({ process, order }) => process === read.process && order < read.invoked,
  )
  const returned = own.findLastIndex(({ phase }) => phase === 'partial')
  const settling = own[returned - 1]
  if (settling?.phase !== 'settling' || settling.order < (change.settled ?? Infinity)) return false
  if (own.length > returned + 1 && own.at(-1)?.phase !== 'primary') return false
  return !history.requests.some(
    ({ hasFailed, process, sent }) =>
      hasFailed &&
      (process === change.process || process === read.process) &&
      sent > settling.order &&
      sent < (read.settled ?? Infinity),
  )
}

/** When no request has failed for a while, a process notices all changes, unless their journal was lost with a process. */
function mustNotice(read: Entry, change: Entry, history: History<FailoverCall>): boolean {
  if (history.killed.includes(change.process)) return false
  return !history.requests.some(
    ({ hasFailed, sentAt }) =>
      hasFailed && sentAt > read.invokedAt - agreementMs && sentAt <= read.settledAt,
  )
}

function message(read: Entry, write: Entry, change: Entry): string {
  return (
    `${read.process} read ${JSON.stringify(read.call)} at ${read.invokedAt} ms: the value that ${write.process} wrote at ` +
    `${write.invokedAt} ms, and that ${change.process} replaced by ${JSON.stringify(change.call)} at ` +
    `${change.invokedAt} ms.`
  )
}
