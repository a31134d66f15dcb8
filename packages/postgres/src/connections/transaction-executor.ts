import { answerWithin, DeadlineError } from '@stowage/core/driver'
import { TransactionError } from '../postgres-errors.ts'
import { isInTransaction, type PostgresClient, queryConfig, rowsOf } from './client.ts'
import type { Parameter, Row, Statement, StatementExecutor } from './statement.ts'

/**
 * The last statement on each client, while it waits or is executed. Those of the bus are on the same client as those of the
 * store. `pg` 8.23 warns of a statement that is passed to a client which executes another one, and `pg` 9 will not accept it.
 */
const lastStatements = new WeakMap<PostgresClient, Promise<unknown>>()

/**
 * Executes statements on a connection of the application, as part of its transaction, one after another. After an error, the
 * server rejects all others of the transaction: they reject with the same error, which tells the reason.
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
        this.#inTurn(() => this.#query(statement, values)),
        () => new DeadlineError(),
      )
    } catch (error) {
      throw this.#failed(error)
    }
  }

  /** The connection belongs to the application. */
  async close(): Promise<void> {}

  /** Calls `send` when the statements before it have ended. */
  #inTurn<T>(send: () => Promise<T>): Promise<T> {
    const client = this.#client
    const earlier = lastStatements.get(client)
    const sent = earlier === undefined ? send() : earlier.then(() => this.#sendUnlessFailed(send))
    // Before the next statement is sent.
    const reply = sent.catch((error) => {
      throw this.#failed(error)
    })
    const end = () => {
      if (lastStatements.get(client) === ended) lastStatements.delete(client)
    }
    const ended: Promise<void> = reply.then(end, end)
    lastStatements.set(client, ended)
    return reply
  }

  #sendUnlessFailed<T>(send: () => Promise<T>): Promise<T> {
    return this.#failure === undefined ? send() : Promise.reject(this.#failure.error)
  }

  /** The first error of the transaction, which tells the reason of the others. */
  #failed(error: unknown): unknown {
    this.#failure ??= { error }
    return this.#failure.error
  }

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
