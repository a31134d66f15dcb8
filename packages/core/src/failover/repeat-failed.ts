import type { Awaitable } from '../store.ts'
import { outcomeOf, valuesOf } from '../wrappers/batch-error.ts'
import { isOutage } from './recovery/outage-error.ts'

/**
 * Repeats a call of several keys that failed with `error`, for the entries that failed because of an outage. Resolves to
 * the values of all entries, in their order. Rejects with `error` if none of them did.
 *
 * @param repeat makes the call for some entries, and resolves to their values
 */
export async function repeatFailed<E>(
  error: unknown,
  entries: readonly E[],
  repeat: (some: readonly E[], failure: unknown) => Awaitable<readonly unknown[]>,
): Promise<unknown[]> {
  const outcomes = entries.map((_, index) => outcomeOf(error, index))
  const failed = outcomes.flatMap((outcome, index) => (hasFailed(outcome) ? [index] : []))
  const [first] = failed
  if (first === undefined) throw error
  const { reason } = outcomes[first] as PromiseRejectedResult
  const repeated = await repeatSome(() =>
    repeat(
      failed.map((index) => entries[index] as E),
      reason,
    ),
  )
  for (const [at, index] of failed.entries()) outcomes[index] = repeated(at)
  return valuesOf(outcomes)
}

/** Returns the outcome of each entry. */
async function repeatSome(
  repeat: () => Awaitable<readonly unknown[]>,
): Promise<(index: number) => PromiseSettledResult<unknown>> {
  try {
    const values = await repeat()
    return (index) => ({ status: 'fulfilled', value: values[index] })
  } catch (error) {
    return (index) => outcomeOf(error, index)
  }
}

function hasFailed(outcome: PromiseSettledResult<unknown>): boolean {
  return outcome.status === 'rejected' && isOutage(outcome.reason)
}
