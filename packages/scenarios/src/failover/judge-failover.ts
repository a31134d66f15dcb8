import {
  type History,
  isAcknowledged,
  type JudgeContext,
  resultOf,
} from '@stowage/testing/simulation'
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
import { findStaleRead } from './stale-read.ts'

/** Judges that calls which can be repeated succeed, and that no read returns what an acknowledged call has replaced. */
export function judgeFailover(
  history: History<FailoverCall>,
  { traits, shared }: JudgeContext,
): string | undefined {
  const phases = (shared.get('phases') ?? []) as readonly PhaseChange[]
  return (
    findRefusal(history) ??
    (traits.scan ? findRepeatedAdd(history, phases) : undefined) ??
    findStaleRead(history, phases, traits)
  )
}

/** Every call that can be repeated succeeds. */
function findRefusal(history: History<FailoverCall>): string | undefined {
  const refused = history.entries.find(
    ({ call, outcome }) => outcome?.status === 'rejected' && isRepeatable(call),
  )
  if (refused === undefined) return undefined
  const error = refused.outcome?.status === 'rejected' ? refused.outcome.error : undefined
  return `${refused.process} ${JSON.stringify(refused.call)} failed: ${String(error)}`
}

/** A `set` with tags also reads the versions of the tags, and creates missing ones. */
function isRepeatable(call: FailoverCall): boolean {
  if (call.op === 'set') return call.tag === undefined
  return /^(get|getMany|delete|touch)$/.test(call.op)
}

/**
 * An `add` fails while the primary store has an item under its key, even if its reply is lost. Not with generations, whose
 * id is read before: that read may have noticed an outage.
 */
function findRepeatedAdd(
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
