import type { Executor } from '../connections/executor.ts'
import { isMissingTable } from '../postgres-errors.ts'
import type { ResolvedPostgresOptions } from '../postgres-options.ts'
import { prepareTable } from './table.ts'

/** Prepares the table before the first statement, and before the next one if it has been dropped since. */
export class TablePreparation {
  readonly #options: ResolvedPostgresOptions
  #isPrepared = false
  #attempt: Promise<void> | undefined

  constructor(options: ResolvedPostgresOptions) {
    this.#options = options
  }

  /** Resolves when statements may be sent. `undefined` once nothing is left to do. */
  prepare(executor: Executor): Promise<void> | undefined {
    const { ensureTable: mode } = this.#options
    if (this.#isPrepared || mode === 'off') return undefined
    this.#attempt ??= prepareTable(executor, this.#options, mode)
      .then(() => {
        this.#isPrepared = true
      })
      // After a failure, the next call tries again.
      .finally(() => {
        this.#attempt = undefined
      })
    return this.#attempt
  }

  /** Must be called with the errors of statements. */
  onError(error: unknown): void {
    if (isMissingTable(error)) this.#isPrepared = false
  }
}
