import { answerWithin, DeadlineError } from '@stowage/core/driver'
import { TransactionError } from '../postgres-errors.ts'
import { isInTransaction, type PostgresClient, queryConfig, rowsOf } from './client.ts'
import type { Parameter, Row, Statement, StatementExecutor } from './statement.ts'

/**
 * Executes statements on a connection of the application, as part of its transaction. After an error, the server rejects all
 * others of the transaction: they reject with the same error, which tells the reason.
 */
export class TransactionExecutor implements StatementExecutor {
  readonly #client: PostgresClient
  readonly #timeoutMs: number
  #failure: { readonly error: unknown } | undefined

  constructor(client: PostgresClient, timeoutMs: number) {
    this.#client = client
    this.#timeoutMs = timeoutMs
  }

  async run(
    statement: Statement,
    values: readonly Parameter[],
    timeoutMs: number = this.#timeoutMs,
  ): Promise<readonly Row[]> {
    if (this.#failure !== undefined) throw this.#failure.error
    try {
      return await answerWithin(
        timeoutMs,
        this.#query(statement, values),
        () => new DeadlineError(),
      )
    } catch (error) {
      this.#failure ??= { error }
      throw this.#failure.error
    }
  }

  /** The connection belongs to the application. */
  async close(): Promise<void> {}

  #query({ text }: Statement, values: readonly Parameter[]): Promise<Row[]> {
    return new Promise((resolve, reject) => {
      this.#client.query(queryConfig(text, values, undefined), (error, result) => {
        if (error) reject(error)
        else if (isInTransaction(this.#client) === false) reject(noTransaction())
        else resolve(rowsOf(result))
      })
    })
  }
}

function noTransaction(): TransactionError {
  return new TransactionError(
    'the client has not begun a transaction: what it changes is committed at once. Call client.query("BEGIN") first',
  )
}
