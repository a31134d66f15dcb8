/** A transaction that was committed. The first one of each row is the initial value. */
export interface Commit {
  /** Identifies the commit: the value of the rows that it wrote. */
  readonly id: number
  readonly rows: readonly string[]
  /** When it takes effect, in virtual milliseconds. */
  readonly at: number
}

/** A transaction that the database ends if its process is idle for too long. */
export class Transaction {
  readonly id: number
  readonly #database: Database
  readonly #rows = new Set<string>()
  #lastStatementAt: number

  constructor(database: Database, id: number, now: number) {
    this.#database = database
    this.id = id
    this.#lastStatementAt = now
  }

  read(now: number): void {
    this.#continue(now)
  }

  write(row: string, now: number): void {
    this.#continue(now)
    this.#rows.add(row)
  }

  /** @param delayMs how long the request takes: the transaction is committed then, whatever happens to the process */
  commit(now: number, delayMs: number): void {
    this.#continue(now)
    this.#database.commit({ id: this.id, rows: [...this.#rows], at: now + delayMs })
  }

  #continue(now: number): void {
    if (now - this.#lastStatementAt > this.#database.idleMs) {
      throw Object.assign(new Error('the transaction was idle too long'), { code: 'ERR_IDLE' })
    }
    this.#lastStatementAt = now
  }
}

/** A database that all processes of a run share. Reads return what is committed. */
export class Database {
  /** How long a transaction may be idle, in milliseconds. */
  readonly idleMs: number
  readonly commits: Commit[] = []

  constructor(idleMs: number) {
    this.idleMs = idleMs
  }

  /** The id of the last commit of a row before `now`; 0 if there is none. */
  read(row: string, now: number): number {
    return this.before(row, now)?.id ?? 0
  }

  begin(id: number, now: number): Transaction {
    return new Transaction(this, id, now)
  }

  commit(commit: Commit): void {
    this.commits.push(commit)
  }

  /** The last commit of a row that has taken effect before `now`. */
  before(row: string, now: number): Commit | undefined {
    let last: Commit | undefined
    for (const commit of this.commits) {
      if (commit.at > now || !commit.rows.includes(row)) continue
      if (last === undefined || commit.at >= last.at) last = commit
    }
    return last
  }
}
