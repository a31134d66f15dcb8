import type { ReplicatedServer } from '@stowage/core/internal'
import type { Executor } from '../connections/executor.ts'
import { type Parameter, type Row, type Statement, statement } from '../connections/statement.ts'
import { isConnectionFailure } from '../postgres-errors.ts'

const minRetryMs = 50
const maxRetryMs = 1_000

const ping = statement('SELECT 1', { isRead: true })

/** A primary, or a replica. */
export class Server implements ReplicatedServer {
  readonly address: string | undefined
  readonly #executor: Executor
  #isConnected: boolean
  #isConnecting = false
  #failures = 0
  #nextAttemptAt = 0
  #isClosed = false

  /** @param isConnected whether it counts as connected before it has been used */
  constructor(executor: Executor, isConnected: boolean, address?: string) {
    this.address = address
    this.#executor = executor
    this.#isConnected = isConnected
  }

  tryConnect(): boolean {
    if (!this.#isConnected) void this.#connect()
    return this.#isConnected
  }

  /** Must be called when the connection of a server that has one is established or lost. */
  setConnected(isConnected: boolean): void {
    this.#isConnected = isConnected
  }

  /** @throws DeadlineError, or the error of the client */
  async run(
    statement: Statement,
    values: readonly Parameter[],
    timeoutMs?: number,
  ): Promise<readonly Row[]> {
    return this.#noting(this.#executor.run(statement, values, timeoutMs))
  }

  /** Sends the statement once, if `isAllowed` returns true when a connection is free. */
  runOnce(
    statement: Statement,
    values: readonly Parameter[],
    timeoutMs: number,
    isAllowed: () => boolean,
  ): Promise<readonly Row[]> {
    return this.#executor.runOnce(statement, values, timeoutMs, isAllowed)
  }

  close(): Promise<void> {
    this.#isClosed = true
    return this.#executor.close()
  }

  async #noting<T>(result: Promise<T>): Promise<T> {
    try {
      const value = await result
      this.#isConnected = true
      this.#failures = 0
      return value
    } catch (error) {
      if (isConnectionFailure(error)) this.#isConnected = false
      throw error
    }
  }

  async #connect(): Promise<void> {
    if (this.#isConnecting || this.#isClosed || performance.now() < this.#nextAttemptAt) return
    this.#isConnecting = true
    try {
      await this.run(ping, [])
    } catch {
      const retryMs = Math.min(maxRetryMs, minRetryMs * 2 ** Math.min(this.#failures++, 10))
      this.#nextAttemptAt = performance.now() + retryMs
    } finally {
      this.#isConnecting = false
    }
  }
}
