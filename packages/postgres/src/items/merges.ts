import { CacheError } from '@stowage/core'
import type { IncrementCall, WriteCall } from './item-batches.ts'
import type { Merge } from './turn-queue.ts'

/** Of adds for one key, the first decides: after it, the key exists. */
export const mergedAdds: Merge<WriteCall, boolean> = {
  toOne: ([first]) => first,
  toEach: (calls, outcome) =>
    calls.map((_, index) =>
      index > 0 && outcome.status === 'fulfilled' ? { ...outcome, value: false } : outcome,
    ),
}

/**
 * A counter is incremented by the sum, and each call gets its value in between. With one sign, that is a safe integer if the
 * last one is.
 */
export const mergedIncrements: Merge<IncrementCall, number> = {
  toOne: (calls) => {
    const by = sumOf(calls)
    const sign = Math.sign(by)
    const haveSign = calls.every((call) => Math.sign(call.by) === sign)
    return haveSign && Number.isSafeInteger(by) ? { ...(calls[0] as IncrementCall), by } : undefined
  },
  toEach: (calls, outcome) => {
    if (outcome.status === 'rejected') {
      // The first ones may still succeed before the sum becomes too large.
      return isRefusal(outcome.reason) ? undefined : calls.map(() => outcome)
    }
    let value = outcome.value - sumOf(calls)
    return calls.map(({ by }) => {
      value += by
      return { status: 'fulfilled', value }
    })
  },
}

function sumOf(calls: readonly IncrementCall[]): number {
  return calls.reduce((sum, { by }) => sum + by, 0)
}

function isRefusal(error: unknown): boolean {
  return CacheError.is(error) && error.code === 'ERR_CACHE_REJECTED'
}
