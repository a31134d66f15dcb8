import type { ReplicatedServer } from '@stowage/core/internal'
import { Executor, type ExecutorOptions } from '../connections/executor.ts'
import { type Parameter, type Row, type Statement, statement } from '../connections/statement.ts'
import { isConnectionFailure } from '../postgres-errors.ts'

const minRetryMs = 50
const maxRetryMs = 1_000

const ping = statement('SELECT 1', { isRead: true })

/** Executes statements on a primary, or on a replica. */
export class Server extends Executor implements ReplicatedServer {
  readonly address: string | undefined
  #isConnected: boolean
  #isConnecting = false
  #failures = 0
  #nextAttemptAt = 0
  #isClosed = false

  /** @param isConnected whether it counts as connected before it has been used */
  constructor(options: ExecutorOptions, isConnected: boolean, address?: string) {
    super(options)
    this.address = address
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

  override async run(
    statement: Statement,
    values: readonly Parameter[],
    timeoutMs?: number,
  ): Promise<readonly Row[]> {
    try {
      const rows = await super.run(statement, values, timeoutMs)
      this.#isConnected = true
      this.#failures = 0
      return rows
    } catch (error) {
      if (isConnectionFailure(error)) this.#isConnected = false
      throw error
    }
  }

  override close(): Promise<void> {
    this.#isClosed = true
    return super.close()
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
