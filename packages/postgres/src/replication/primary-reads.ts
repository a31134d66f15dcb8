import { formatToken } from '@stowage/core/internal'
import type { Parameter, Row, Statement, StatementExecutor } from '../connections/statement.ts'
import type { Reads } from './reads.ts'
import { readReplicationState, tokenVersion } from './replication-state.ts'

/** How long a server without standbys is assumed to have none. A new one first copies all data. */
const emptyTokenMs = 1_000

/** Reads from the primary. */
export class PrimaryReads implements Reads {
  readonly #executor: StatementExecutor
  /** When to check again whether the server has standbys. */
  #emptyTokenUntil = 0

  constructor(executor: StatementExecutor) {
    this.#executor = executor
  }

  run(statement: Statement, values: readonly Parameter[]): Promise<readonly Row[]> {
    return this.#executor.run(statement, values)
  }

  groups(keys: readonly string[]): readonly string[][] {
    return [[...keys]]
  }

  beginWrite(_keys: readonly string[] | undefined): undefined {}

  expectCommit(): void {}

  async consistencyToken(): Promise<string> {
    if (performance.now() < this.#emptyTokenUntil) return ''
    const token = await readToken(this.#executor)
    if (token === '') this.#emptyTokenUntil = performance.now() + emptyTokenMs
    return token
  }

  observe(): void {}

  async close(): Promise<void> {}
}

/** A token for everything that has been written so far. Empty if the primary has no standbys. */
export async function readToken(primary: Pick<StatementExecutor, 'run'>): Promise<string> {
  const state = await readReplicationState(primary)
  // Without a position, the observer waits for everything written until then.
  if (typeof state === 'string') return formatToken(tokenVersion, [])
  return state.hasReplicas ? formatToken(tokenVersion, [state]) : ''
}
