import { setTimeout as sleep } from 'node:timers/promises'
import { answerWithin, countdown, DeadlineError } from '@stowage/core/driver'
import {
  isConnectionFailure,
  isConnectionRefused,
  isReadOnly,
  isRetryable,
  TransactionError,
} from '../postgres-errors.ts'
import {
  cancelStatement,
  isInTransaction,
  type PostgresPool,
  type PostgresPoolClient,
  queryConfig,
  rowsOf,
} from './client.ts'
import type { OwnPool } from './client-pool.ts'
import type { Parameter, Row, Statement, StatementExecutor } from './statement.ts'

/** Pause before a statement is sent again, in milliseconds. */
const retryDelayMs = 20

export interface ExecutorOptions {
  readonly pool: PostgresPool
  /** The same pool, if the store has created it. */
  readonly ownPool: OwnPool | undefined
  readonly timeoutMs: number
  readonly preparedStatements: boolean
  /** Called with each error of a statement that is not repeated. */
  readonly onError?: (error: unknown) => void
}

/**
 * Executes statements on the connections of a pool, each within a deadline that includes the wait for a connection. A
 * connection whose reply is overdue is closed, so that the reply is never taken for that of another statement, and the server
 * is asked to cancel it.
 */
export class Executor implements StatementExecutor {
  readonly #options: ExecutorOptions

  constructor(options: ExecutorOptions) {
    this.#options = options
  }

  /**
   * Resolves to the rows. Sends the statement again, until the deadline, if the server has not executed it: because of a
   * deadlock, a conflict with another transaction, too many connections, or a statement that must be prepared again.
   *
   * @param timeoutMs the time that is left of the deadline
   * @throws DeadlineError, or the error of the client
   */
  async run(
    statement: Statement,
    values: readonly Parameter[],
    timeoutMs: number = this.#options.timeoutMs,
  ): Promise<readonly Row[]> {
    const startedAt = performance.now()
    let failure: unknown
    for (let attempt = 1; ; attempt++) {
      const leftMs = timeoutMs - (performance.now() - startedAt)
      try {
        return await this.#tryOnce(statement, values, Math.max(1, leftMs), { earlier: failure })
      } catch (error) {
        failure = error
        const pauseMs = retryDelayMs * attempt * (0.5 + Math.random())
        const isTimeLeft = performance.now() - startedAt + pauseMs < timeoutMs
        if (!isTimeLeft || !mayRepeat(error, statement, attempt)) {
          this.#options.onError?.(error)
          throw error
        }
        await sleep(pauseMs)
      }
    }
  }

  /**
   * Sends the statement once.
   *
   * @param isAllowed called with the connection: whether it may be used now
   * @throws DeadlineError, NotAllowedError, or the error of the client
   */
  runOnce(
    statement: Statement,
    values: readonly Parameter[],
    timeoutMs: number,
    isAllowed: () => boolean,
  ): Promise<readonly Row[]> {
    return this.#tryOnce(statement, values, timeoutMs, { isAllowed })
  }

  async close(): Promise<void> {
    const { ownPool, timeoutMs } = this.#options
    if (ownPool === undefined) return
    try {
      await answerWithin(timeoutMs, ownPool.end(), () => new DeadlineError())
    } catch {
      ownPool.destroy()
    }
  }

  #tryOnce(
    statement: Statement,
    values: readonly Parameter[],
    timeoutMs: number,
    { earlier, isAllowed }: Attempt,
  ): Promise<readonly Row[]> {
    return new Promise((resolve, reject) => {
      let connection: Checkout | undefined
      let isSettled = false
      const settle = (apply: () => void) => {
        isSettled = true
        cancel()
        apply()
      }
      const cancel = countdown(timeoutMs, () => {
        const error = new DeadlineError()
        connection?.abandon(error)
        settle(() => reject(connection === undefined ? (earlier ?? error) : error))
      })
      const fail = (error: unknown) => {
        if (isSettled) return
        connection?.end(error)
        settle(() => reject(error))
      }
      const execute = (client: PostgresPoolClient) => {
        connection = new Checkout(client)
        try {
          client.query(this.#configOf(statement, values), (error, result) => {
            if (error) return fail(error)
            if (isSettled) return
            if (isInTransaction(client)) return fail(openTransaction())
            connection?.end()
            settle(() => resolve(rowsOf(result)))
          })
        } catch (error) {
          // A client of the application, perhaps wrapped. In a callback, its error would end the process.
          connection.discard(error as Error)
          fail(error)
        }
      }
      this.#options.pool.connect((error, client) => {
        if (client === undefined) fail(error)
        // A connection that comes too late is not used.
        else if (isSettled) client.release()
        else if (isAllowed?.() === false) {
          client.release()
          fail(new NotAllowedError())
        } else execute(client)
      })
    })
  }

  #configOf({ name, text }: Statement, values: readonly Parameter[]) {
    return queryConfig(text, values, this.#options.preparedStatements ? name : undefined)
  }
}

interface Attempt {
  /** Why the attempt before this one failed. Without a connection before the deadline, it is the reason. */
  readonly earlier?: unknown
  readonly isAllowed?: () => boolean
}

/** The connection may not be used, for example because its server is not recent enough. */
export class NotAllowedError extends Error {
  constructor() {
    super('The server is not recent enough')
  }
}

/** A connection that was taken from the pool, until it is returned, once. */
class Checkout {
  readonly #client: PostgresPoolClient
  #isReturned = false

  constructor(client: PostgresPoolClient) {
    this.#client = client
    // The call reports it. Without a listener, the process would end.
    client.on('error', ignore)
  }

  /** Returns the connection, unless the error leaves it in an unknown state. */
  end(error?: unknown): void {
    if (error === undefined || !isConnectionFailure(error)) this.#return()
    else this.discard(error as Error)
  }

  /** Closes the connection whose statement is not complete. */
  abandon(error: Error): void {
    if (!this.#isReturned) cancelStatement(this.#client)
    this.discard(error)
  }

  /** Closes the connection. What it sends later is not read. */
  discard(error: Error): void {
    this.#return(error)
  }

  #return(error?: Error): void {
    if (this.#isReturned) return
    this.#isReturned = true
    this.#client.release(error)
    this.#client.removeListener('error', ignore)
  }
}

/** The application has returned the connection to its pool too early. Nobody knows whether it will commit. */
function openTransaction(): TransactionError {
  return new TransactionError(
    'a connection of the pool is in a transaction. End it before the connection returns to the pool',
  )
}

function ignore(): void {}

/** Whether a statement that has failed may be sent again. The last attempts are those of the deadline. */
function mayRepeat(error: unknown, { isRead }: Statement, attempt: number): boolean {
  if (isRetryable(error)) return true
  // The server has executed nothing. The next connection may be to the new primary.
  if (isReadOnly(error)) return attempt === 1
  // A connection that was lost while nothing used it is noticed when it is used.
  return isRead && attempt === 1 && isConnectionFailure(error) && !isConnectionRefused(error)
}
