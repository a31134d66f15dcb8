import type { History, JudgeContext } from '@stowage/testing/simulation'
import { findSlowCall } from './duration.ts'
import { findBlindMark, findStoreFailure } from './failures.ts'
import { findOverwrittenValue, findResurrection, findStaleRead } from './finality.ts'
import { type LoadCall, LoadHistory, LoadLog } from './load-history.ts'
import { findLoadInBackoff, findSecondLoad } from './sharing.ts'
import { findStaleValue } from './staleness.ts'
import { findUnconfirmedCall } from './unconfirmed-call.ts'

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
    findResurrection(loads) ??
    findOverwrittenValue(loads) ??
    findStaleRead(loads) ??
    findUnconfirmedCall(loads) ??
    findStaleValue(loads) ??
    findSlowCall(loads)
  if (always !== undefined || !history.isFaultless) return always
  return findSecondLoad(loads) ?? findLoadInBackoff(loads)
}
