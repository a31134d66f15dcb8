import { type History, isAcknowledged, resultOf } from '@stowage/testing/simulation'
import {
  agreementMs,
  type Entry,
  ends,
  type FailoverCall,
  isBefore,
  isDisturbed,
  isRead,
  type PhaseChange,
  phaseOf,
} from './failover-history.ts'

/**
 * An `add` fails while the primary store has an item under its key, even if its reply is lost. Not with generations, whose
 * id is read before: that read may have noticed an outage.
 */
export function findRepeatedAdd(
  history: History<FailoverCall>,
  phases: readonly PhaseChange[],
): string | undefined {
  const { entries } = history
  const adds = entries.filter(({ call }) => call.op === 'add')
  for (const add of adds) {
    if (resultOf(add) === undefined || phaseOf(add, phases) !== 'primary') continue
    const set = entries.find((each) => isKept(each, add, history, phases))
    if (set === undefined) continue
    return `${add.process} added ${JSON.stringify(add.call)} at ${add.invokedAt} ms, which was set at ${set.invokedAt} ms.`
  }
  return undefined
}

/** Whether the primary store certainly has what this call has set when `add` is made. */
function isKept(
  set: Entry,
  add: Entry,
  history: History<FailoverCall>,
  phases: readonly PhaseChange[],
): boolean {
  const { entries, requests } = history
  const { settled = Infinity } = set
  if (set.call.op !== 'set' || set.call.tag !== undefined || !ends(set.call, add.call)) return false
  if (!isAcknowledged(set) || isDisturbed(set, history) || settled > add.invoked) return false
  if (phaseOf(set, phases) !== 'primary') return false
  const hasOther = entries.some(
    (each) =>
      each !== set &&
      each !== add &&
      !isRead(each.call) &&
      ends(each.call, set.call) &&
      each.invoked < (add.settled ?? Infinity) &&
      !isBefore(each, set),
  )
  const hasFailed = requests.some(
    ({ hasFailed, process, sent, sentAt }) =>
      hasFailed &&
      sent < (add.settled ?? Infinity) &&
      sentAt > set.invokedAt - agreementMs &&
      (sent < add.invoked || process !== add.process),
  )
  return !hasOther && !hasFailed
}
