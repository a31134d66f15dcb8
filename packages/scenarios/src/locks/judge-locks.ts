import {
  type History,
  type HistoryEntry,
  type JudgeContext,
  resultOf,
} from '@stowage/testing/simulation'
import { type HeldPeriod, type LockCall, LockLog, lockKeys } from './lock-history.ts'

/** Longer than the pause between two polls, with the requests around it. In milliseconds. */
const maxPollMs = 400
/** Long enough for some slow renewals. In milliseconds. */
const minTtl = 300

/** Judges that one call at a time holds a lock, and that fencing numbers rise in the order of the holders. */
export function judgeLocks(
  history: History<LockCall>,
  { shared }: JudgeContext,
): string | undefined {
  const log = LockLog.of(shared)
  for (const key of lockKeys) {
    const tenures = log.tenures.filter((tenure) => tenure.key === key)
    tenures.sort((a, b) => a.acquired - b.acquired)
    const problem =
      judgeExclusion(tenures, history) ??
      judgeFences(tenures) ??
      judgeLosses(tenures, history) ??
      judgeWaits(key, tenures, history)
    if (problem !== undefined) return problem
  }
  return judgeReleases(history)
}

/** A holder is not active after another one has acquired the lock, unless the backend has lost the item. */
function judgeExclusion(tenures: readonly HeldPeriod[], history: History<LockCall>) {
  for (const [index, tenure] of tenures.entries()) {
    const next = tenures[index + 1]
    if (next === undefined || tenure.lastActive < next.acquired) continue
    const isLost = history.losses.some(
      ({ key, order }) => isItemOf(key, tenure) && order < next.acquired,
    )
    if (isLost) continue
    return `${next.process} acquired ${tenure.key} at ${next.acquiredAt} ms, while ${tenure.process} held it since ${tenure.acquiredAt} ms.`
  }
  return undefined
}

function judgeFences(tenures: readonly HeldPeriod[]): string | undefined {
  let highest = 0
  for (const { process, key, acquiredAt, fences } of tenures) {
    for (const fence of fences) {
      if (fence > highest) highest = fence
      else {
        return `${process}, which acquired ${key} at ${acquiredAt} ms, received the fencing number ${fence} after ${highest}.`
      }
    }
  }
  return undefined
}

/** Without faults and delays, no lock is lost whose ttl is longer than some round trips. */
function judgeLosses(
  tenures: readonly HeldPeriod[],
  { isFaultless, isRealTime }: History<LockCall>,
) {
  const lost = tenures.find(({ isLost, ttl }) => isLost && ttl >= minTtl)
  if (!isFaultless || isRealTime || lost === undefined) return undefined
  return `${lost.process} lost ${lost.key}, which it acquired at ${lost.acquiredAt} ms.`
}

/** Without faults and delays, a call that fails has not waited for a lock that was free. */
function judgeWaits(
  key: string,
  tenures: readonly HeldPeriod[],
  { entries, isFaultless, isRealTime }: History<LockCall>,
) {
  if (!isFaultless || isRealTime) return undefined
  const waits = entries.filter(({ call, outcome }) => isRefused(call, outcome) && call.key === key)
  for (const { process, invokedAt, settledAt } of waits) {
    let freeFrom = invokedAt
    const held = tenures.filter((each) => each.endedAt > invokedAt && each.acquiredAt < settledAt)
    for (const { acquiredAt, endedAt } of [...held, { acquiredAt: settledAt, endedAt: Infinity }]) {
      if (acquiredAt - freeFrom > maxPollMs) {
        return `${process} waited for ${key} until ${settledAt} ms, although it was free from ${freeFrom} ms.`
      }
      freeFrom = Math.max(freeFrom, endedAt)
    }
  }
  return undefined
}

function isRefused(call: LockCall, outcome: HistoryEntry['outcome']): boolean {
  if (call.op !== 'run' || outcome?.status !== 'rejected') return false
  return (outcome.error as { code?: unknown }).code === 'ERR_CACHE_LOCKED'
}

/** A lock is released by its owner only. */
function judgeReleases({ entries }: History<LockCall>): string | undefined {
  const wrong = entries.find((entry) => entry.call.op === 'release' && resultOf(entry) === true)
  if (wrong === undefined) return undefined
  return `${wrong.process} released ${wrong.call.key}, which it did not hold.`
}

function isItemOf(storageKey: string, { key }: HeldPeriod): boolean {
  return storageKey.endsWith(`~lock:${key}`)
}
