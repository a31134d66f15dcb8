import { CacheError } from '@stowage/core'
import { BatchError } from '@stowage/core/driver'

/** The outcome of each key of a batch. A key without one has succeeded, without a result. */
export class BatchOutcomes<T = never> {
  readonly #results = new Map<string, T>()
  readonly #errors = new Map<string, CacheError>()
  /** An error that other requests would get as well: a missing permission or table, invalid credentials. */
  fatal: CacheError | undefined

  /** The results by key. */
  get results(): ReadonlyMap<string, T> {
    return this.#results
  }

  /** The keys that failed, with their errors. */
  get errors(): ReadonlyMap<string, CacheError> {
    return this.#errors
  }

  succeeded(key: string, result: T): void {
    this.#results.set(key, result)
  }

  failed(keys: Iterable<string>, error: CacheError): void {
    for (const key of keys) this.#errors.set(key, error)
    if (!error.retryable) this.fatal = error
  }

  /** Takes the failures of a rejected call for `keys`. @throws errors that are not of the cache */
  addRejection(keys: readonly string[], rejection: unknown): void {
    if (!CacheError.is(rejection)) throw rejection
    const { outcomes } = rejection as Partial<BatchError>
    for (const [index, key] of keys.entries()) {
      const outcome = outcomes?.[index]
      if (outcome === undefined) this.failed([key], rejection)
      else if (outcome.status === 'rejected') this.failed([key], outcome.reason)
    }
  }

  addErrors(errors: ReadonlyMap<string, CacheError>): void {
    for (const [key, error] of errors) this.failed([key], error)
  }

  /**
   * The results of a call for `keys`, in order.
   * @throws `BatchError` if a key failed, or the error of a single key
   */
  resultsOf<R>(keys: readonly string[], toResult: (result: T | undefined) => R): R[] {
    const resultOf = (key: string) => toResult(this.#results.get(key))
    if (this.#errors.size === 0) return keys.map(resultOf)
    const settled = keys.map((key) => this.#settle(key, resultOf))
    const [first] = settled.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[]
    if (first === undefined) return keys.map(resultOf)
    throw settled.length === 1 ? first.reason : new BatchError(settled)
  }

  #settle(key: string, resultOf: (key: string) => unknown): PromiseSettledResult<unknown> {
    const error = this.#errors.get(key)
    if (error === undefined) return { status: 'fulfilled', value: resultOf(key) }
    return { status: 'rejected', reason: CacheError.forCall(error, { key }) }
  }
}
