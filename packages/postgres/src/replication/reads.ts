import type { Consistency } from '@stowage/core'
import type { Parameter, Row, Statement } from '../connections/statement.ts'

/** Chooses the server that executes a read, and knows which writes a replica must have applied for it. */
export interface Reads {
  /**
   * Resolves to the rows of a statement that reads these keys.
   *
   * @throws DeadlineError, or the error of the client
   */
  run(
    statement: Statement,
    values: readonly Parameter[],
    keys: readonly string[],
    consistency: Consistency | undefined,
  ): Promise<readonly Row[]>
  /** Separates keys that only the primary can serve. */
  groups(keys: readonly string[], consistency: Consistency | undefined): readonly string[][]
  /** Must be called before a write, with `undefined` for all keys. Call the result once the write is settled. */
  beginWrite(keys: readonly string[] | undefined): (() => void) | undefined
  /** The keys are written by a transaction that commits within `maxMs`. */
  expectCommit(keys: readonly string[], maxMs: number): void
  /** A token for everything that all processes have written so far. Empty if there are no replicas. */
  consistencyToken(): Promise<string>
  /** Requires reads to include what the token of another process stands for. */
  observe(token: string): void
  close(): Promise<void>
}
