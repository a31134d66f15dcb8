import type { FailoverEvent } from '@stowage/core'
import { type History, type HistoryEntry, isAcknowledged } from '@stowage/testing/simulation'

export type FailoverCall =
  | { readonly op: 'get' | 'getMany' | 'delete' | 'touch'; readonly key: string }
  | { readonly op: 'add' | 'update'; readonly key: string }
  | { readonly op: 'set'; readonly key: string; readonly tag: string | undefined }
  | { readonly op: 'clear' | 'invalidate' }

/** A process uses its stores in another way from now on. */
export interface PhaseChange {
  readonly process: string
  readonly phase: FailoverEvent['phase']
  readonly order: number
  readonly at: number
}

/**
 * For this time after a failed request, processes may not agree on which store is used, in virtual milliseconds: the
 * interval of the probes, the time to settle on both sides, and the deadlines of a few requests.
 */
export const agreementMs = 1_500

/** Whether the fallback store is common to all processes, instead of one for each. */
export function hasCommonFallback({ variant }: { readonly variant: number }): boolean {
  return (variant & 1) === 1
}

export type Entry = HistoryEntry<FailoverCall>

export function isRead({ op }: FailoverCall): boolean {
  return op === 'get' || op === 'getMany'
}

/** Whether a call makes the value of another one outdated. */
export function ends(call: FailoverCall, write: FailoverCall): boolean {
  if (call.op === 'clear') return true
  if (call.op === 'invalidate') return write.op === 'set' && write.tag !== undefined
  return 'key' in call && 'key' in write && call.key === write.key
}

/** A call that failed may have taken effect later. */
export function isBefore(first: Entry, second: Entry): boolean {
  const settled = first.settled ?? Infinity
  const end = isAcknowledged(first) ? settled : Math.max(settled, first.effectiveUntil)
  return end < second.invoked
}

/**
 * Whether a request of the call may be executed late. It may have been sent on behalf of another call, for whose read of a
 * generation it has waited.
 */
export function isDisturbed(entry: Entry, { requests }: History<FailoverCall>): boolean {
  if (entry.isDisturbed) return true
  return requests.some(
    ({ hasFailed, process, sent }) =>
      hasFailed &&
      process === entry.process &&
      sent > entry.invoked &&
      sent < (entry.settled ?? Infinity),
  )
}

/** How a process used its stores when it made a call. */
export function phaseOf(entry: Entry, phases: readonly PhaseChange[]): PhaseChange['phase'] {
  const last = phases.findLast(
    ({ process, order }) => process === entry.process && order < entry.invoked,
  )
  return last?.phase ?? 'primary'
}
