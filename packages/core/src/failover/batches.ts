import type { Awaitable, ByteStore, Payload, ReadOptions } from '../store.ts'
import { errorFor, getOutcomes, outcomeOf, valuesOf } from '../wrappers/batch-error.ts'
import { attempt, type Changes } from './changes.ts'
import type { Fallback } from './fallback/fallback.ts'
import { isOutage } from './recovery/outage-error.ts'
import type { Recovery } from './recovery/recovery.ts'

export type Items = (Payload | undefined)[]
export type Entries = readonly (readonly [key: string, item: Payload])[]

/** Makes the calls for several keys. Those that both stores take part in are made one by one. */
export class Batches {
  readonly #primary: ByteStore
  readonly #fallback: Fallback
  readonly #recovery: Recovery
  readonly #changes: Changes
  readonly #single: Pick<ByteStore, 'set' | 'delete'>

  /** @param single the calls for one key */
  constructor(
    primary: ByteStore,
    fallback: Fallback,
    recovery: Recovery,
    changes: Changes,
    single: Pick<ByteStore, 'set' | 'delete'>,
  ) {
    this.#primary = primary
    this.#fallback = fallback
    this.#recovery = recovery
    this.#changes = changes
    this.#single = single
  }

  getMany(keys: readonly string[], options?: ReadOptions): Awaitable<Items> {
    if (this.#recovery.isAway) return this.#fallback.getMany(keys, options)
    if (this.#recovery.phase === 'partial') return this.#getFromBoth(keys, options)
    return this.#getFromPrimary(keys, options)
  }

  setMany(entries: Entries, ttl?: number): Awaitable<void> {
    const { phase } = this.#recovery
    if (phase === 'fallback') {
      for (const [key] of entries) this.#recovery.noteChange(key)
      return this.#fallback.setMany(entries, ttl)
    }
    if (phase !== 'primary') return this.setEach(entries, ttl)
    return this.#changes.call(
      () => this.#primary.setMany(entries, ttl),
      (error) => this.#setAfterFailure(entries, ttl, error),
    )
  }

  deleteMany(keys: readonly string[]): Awaitable<number> {
    const { phase } = this.#recovery
    if (phase === 'fallback') {
      for (const key of keys) this.#recovery.noteChange(key)
      return this.#fallback.deleteMany(keys)
    }
    if (phase !== 'primary') return this.#deleteEach(keys)
    return this.#changes.call(
      () => this.#primary.deleteMany(keys),
      (error) => this.#deleteAfterFailure(keys, error),
    )
  }

  #getFromPrimary(keys: readonly string[], options?: ReadOptions): Awaitable<Items> {
    return this.#changes.call(
      () => this.#primary.getMany(keys, options),
      (error) =>
        repeatFailed(error, keys, (some, failure) => {
          this.#recovery.noteFailure(failure)
          return this.#fallback.getMany(some, options)
        }) as Promise<Items>,
    )
  }

  async #getFromBoth(keys: readonly string[], options?: ReadOptions): Promise<Items> {
    const isUnsettled = keys.map((key) => this.#recovery.readsFallback(key))
    if (!isUnsettled.includes(true)) return this.#getFromPrimary(keys, options)
    if (!isUnsettled.includes(false)) return this.#fallback.getMany(keys, options)
    const settled = keys.filter((_, index) => !isUnsettled[index])
    const unsettled = keys.filter((_, index) => isUnsettled[index])
    const primary = { getMany: (some: readonly string[]) => this.#getFromPrimary(some, options) }
    const [fromPrimary, fromFallback] = await Promise.all([
      getOutcomes(primary, settled),
      getOutcomes(this.#fallback, unsettled, options),
    ])
    let [primaryIndex, fallbackIndex] = [0, 0]
    const outcomes = isUnsettled.map((inFallback) =>
      inFallback ? fromFallback[fallbackIndex++] : fromPrimary[primaryIndex++],
    )
    return valuesOf(outcomes as PromiseSettledResult<unknown>[]) as Items
  }

  /** Stores the entries one by one. */
  async setEach(entries: Entries, ttl?: number): Promise<void> {
    await this.#forEach(
      'setMany',
      entries,
      ([key]) => key,
      ([key, item]) => this.#single.set(key, item, ttl),
    )
  }

  async #setAfterFailure(entries: Entries, ttl: number | undefined, error: unknown): Promise<void> {
    await repeatFailed(error, entries, async (some, failure) => {
      this.#recovery.noteFailedChange(
        some.map(([key]) => key),
        failure,
      )
      await this.#fallback.setMany(some, ttl)
      return some
    })
  }

  async #deleteEach(keys: readonly string[]): Promise<number> {
    const distinct = [...new Set(keys)]
    return countTrue(
      await this.#forEach(
        'deleteMany',
        distinct,
        (key) => key,
        (key) => this.#single.delete(key),
      ),
    )
  }

  /** Makes a call for each entry. Rejects with a `BatchError` if some of them fail. */
  async #forEach<E>(
    operation: string,
    entries: readonly E[],
    keyOf: (entry: E) => string,
    call: (entry: E) => Awaitable<unknown>,
  ): Promise<unknown[]> {
    const calls = entries.map((entry) =>
      attempt(() => call(entry)).catch((error) => {
        throw errorFor(keyOf(entry), operation, error)
      }),
    )
    return valuesOf(await Promise.allSettled(calls))
  }

  async #deleteAfterFailure(keys: readonly string[], error: unknown): Promise<number> {
    let deletedInFallback = 0
    const deleted = await repeatFailed(error, keys, async (some, failure) => {
      this.#recovery.noteFailedChange(some, failure)
      deletedInFallback = await this.#fallback.deleteMany(some)
      return []
    })
    return countTrue(deleted) + deletedInFallback
  }
}

function countTrue(values: readonly unknown[]): number {
  return values.filter((value) => value === true).length
}

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
