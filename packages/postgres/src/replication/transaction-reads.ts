import type { StatementExecutor } from '../connections/statement.ts'
import { PrimaryReads } from './primary-reads.ts'
import type { Reads } from './reads.ts'

/** Reads in a transaction. Its writes take effect when it commits, within `maxMs`. */
export class TransactionReads extends PrimaryReads {
  readonly #reads: Reads
  readonly #maxMs: number

  /** @param reads those of the store outside of the transaction */
  constructor(transaction: StatementExecutor, reads: Reads, maxMs: number) {
    super(transaction)
    this.#reads = reads
    this.#maxMs = maxMs
  }

  override beginWrite(keys: readonly string[] | undefined): undefined {
    if (keys !== undefined) this.#reads.expectCommit(keys, this.#maxMs)
  }
}
