import { fulfilled } from '../calls/tick-batch.ts'
import type { ReadOptions } from '../store.ts'
import type { AnyStore } from '../values/entry-codec.ts'
import { outcomeOf } from './batch-error.ts'

/** Does `getMany`, and returns the outcome of each key if it fails. Never rejects. */
export async function getOutcomes(
  store: AnyStore,
  keys: readonly string[],
  options?: ReadOptions,
): Promise<PromiseSettledResult<unknown>[]> {
  try {
    return (await store.getMany(keys, options)).map(fulfilled)
  } catch (error) {
    return keys.map((_, index) => outcomeOf(error, index))
  }
}
