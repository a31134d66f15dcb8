import type { History, JudgeContext } from '@stowage/testing/simulation'
import { findOverwrittenValue, findResurrection, findStaleRead } from './finality.ts'
import { type LoadCall, LoadHistory, LoadLog } from './load-history.ts'
import { findLoadInBackoff, findSecondLoad } from './sharing.ts'
import { findStaleValue, findUnconfirmedCall } from './staleness.ts'

/**
 * Judges that acknowledged writes and invalidations are final, that values are not returned longer than permitted, that
 * calls end, and without faults that one process at a time loads a value.
 */
export function judgeLoads(
  history: History<LoadCall>,
  { shared, traits }: JudgeContext,
): string | undefined {
  const loads = new LoadHistory(history, LoadLog.of(shared), traits)
  const always =
    findStoreFailure(loads) ??
    findBlindMark(loads) ??
    findForeignValue(loads) ??
    findResurrection(loads) ??
    findOverwrittenValue(loads) ??
    findStaleRead(loads) ??
    findUnconfirmedCall(loads) ??
    findStaleValue(loads) ??
    findSlowCall(loads)
  if (always !== undefined || !history.isFaultless) return always
  return findSecondLoad(loads) ?? findLoadInBackoff(loads)
}

/** How long a call may take without faults: loads one after another, and polls of the leases of other processes. */
const faultlessMs = 5_000
/**
 * The same with faults: in addition, the leases of processes that were killed, paused or separated. Also in real time,
 * where the machine may be slow.
 */
const faultyMs = 30_000

/** A call took longer than leases, loads and deadlines can explain. */
function findSlowCall({
  history: { isFaultless, isRealTime = false },
  entries,
}: LoadHistory): string | undefined {
  const limit = isFaultless && !isRealTime ? faultlessMs : faultyMs
  const slow = entries.find(
    ({ invokedAt, settledAt }) => settledAt < Infinity && settledAt - invokedAt > limit,
  )
  if (slow === undefined) return undefined
  return `${slow.process} ${slow.call.op} took ${slow.settledAt - slow.invokedAt} ms.`
}

/** A call of `remember` failed because the store did: it must return the loaded value. */
function findStoreFailure({ entries }: LoadHistory): string | undefined {
  for (const { call, outcome, process, invokedAt } of entries) {
    if (call.op !== 'remember' || outcome?.status !== 'rejected') continue
    const { code } = outcome.error as { readonly code?: string }
    const isTimeout = code === 'ERR_CACHE_TIMEOUT' && call.timeout !== undefined
    // ERR_CACHE_LOAD: another call of the loader failed lately.
    if (isTimeout || code === undefined || expected.has(code)) continue
    return `${process} remember at ${invokedAt} ms failed with ${code}.`
  }
  return undefined
}

/** A lease or another mark was stored by `set`, which could replace a lease of another process. */
function findBlindMark({ log }: LoadHistory): string | undefined {
  const [first] = log.blindMarks
  return first && `${first.process} stored a mark in ${first.key} by set at ${first.at} ms.`
}

/** A call returned what was loaded or written for another key. */
function findForeignValue({ values }: LoadHistory): string | undefined {
  const found = values.find(({ key, origin }) => origin.key !== key)
  if (found === undefined) return undefined
  const { entry, key, origin } = found
  return `${entry.process} ${entry.call.op} at ${entry.invokedAt} ms returned a value of ${origin.key} for ${key}.`
}

const expected: ReadonlySet<string> = new Set(['ERR_LOAD', 'ERR_ABORTED', 'ERR_CACHE_LOAD'])
