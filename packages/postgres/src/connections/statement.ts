import { createHash } from 'node:crypto'

/** A value of a row as the client returns it: text, or `null`. */
export type Row = readonly (string | null)[]

/** A parameter. Bytes are sent as they are, in the binary format of the type. */
export type Parameter = string | Buffer | null

/** A statement that is prepared once per connection. */
export interface Statement {
  readonly name: string
  readonly text: string
  /** Whether it changes nothing, so that it may be sent again after a lost connection. */
  readonly isRead: boolean
}

/** Executes statements. */
export interface StatementExecutor {
  /**
   * Resolves to the rows.
   *
   * @param timeoutMs the time that is left of the deadline
   * @throws DeadlineError, or the error of the client
   */
  run(
    statement: Statement,
    values: readonly Parameter[],
    timeoutMs?: number,
  ): Promise<readonly Row[]>

  /** Closes the connections that the store has opened. */
  close(): Promise<void>
}

/** The name depends on the text, because connections of the application may be shared by several stores. */
export function statement(
  text: string,
  { isRead = false }: Partial<Pick<Statement, 'isRead'>> = {},
): Statement {
  const hash = createHash('sha1').update(text).digest('base64url').slice(0, 20)
  return { name: `stowage_${hash}`, text, isRead }
}
