import type { History, JudgeContext } from '@stowage/testing/simulation'
import type { FailoverCall, PhaseChange } from './failover-history.ts'
import { findRepeatedAdd } from './repeated-add.ts'
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
