import { fulfilled } from '../calls/tick-batch.ts'
import { CacheError } from '../errors.ts'
import type { Awaitable, ReadOptions } from '../store.ts'

/**
 * The error of a call for several keys of which some failed, while others may have succeeded. Code and message are those
 * of the first failure. `outcomes` contains the result of each key in the order of the call, with items of the store as
 * values. It is not enumerable, so that values are never printed.
 */
export class BatchError extends CacheError {
  declare readonly outcomes: readonly PromiseSettledResult<unknown>[]

  constructor(outcomes: readonly PromiseSettledResult<unknown>[]) {
    const failure = outcomes.find((outcome) => outcome.status === 'rejected')?.reason
    const first = CacheError.is(failure) ? failure : undefined
    const reason = first === undefined ? String((failure as Error)?.message) : first.message
    super(first?.code ?? 'ERR_CACHE_UNAVAILABLE', reason, {
      store: first?.store,
      operation: first?.operation,
      key: first?.key,
      retryable: first?.retryable,
      cause: first?.cause ?? failure,
    })
    Object.defineProperty(this, 'outcomes', { value: outcomes, enumerable: false })
  }
}

/** Returns the outcome of the key at `index` of a call that rejected with `error`: its own if known, or else `error`. */
export function outcomeOf(error: unknown, index: number): PromiseSettledResult<unknown> {
  const outcomes = CacheError.is(error) ? (error as Partial<BatchError>).outcomes : undefined
  return outcomes?.[index] ?? { status: 'rejected', reason: error }
}

/** Returns the value of an outcome. @throws the reason of a rejection */
export function resultOf<T>(outcome: PromiseSettledResult<T>): T {
  if (outcome.status === 'rejected') throw outcome.reason
  return outcome.value
}

/** Returns the values of the outcomes. @throws BatchError if one is a rejection */
export function valuesOf(outcomes: readonly PromiseSettledResult<unknown>[]): unknown[] {
  return outcomes.map((outcome) => {
    if (outcome.status === 'rejected') throw new BatchError(outcomes)
    return outcome.value
  })
}

/** Returns the error of a batch for one of its calls: a copy with the key and the operation of the call. */
export function errorFor(key: string, operation: string, error: unknown): unknown {
  return CacheError.is(error) ? CacheError.forCall(error, { operation, key }) : error
}

/** Does `getMany`, and returns the outcome of each key if it fails. Never rejects. */
export async function getOutcomes(
  store: {
    getMany(keys: readonly string[], options?: ReadOptions): Awaitable<readonly unknown[]>
  },
  keys: readonly string[],
  options?: ReadOptions,
): Promise<PromiseSettledResult<unknown>[]> {
  try {
    return (await store.getMany(keys, options)).map(fulfilled)
  } catch (error) {
    return keys.map((_, index) => outcomeOf(error, index))
  }
}
