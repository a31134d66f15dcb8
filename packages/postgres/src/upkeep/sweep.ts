import { after } from '@stowage/core/internal'
import type { Executor } from '../connections/executor.ts'
import { type Statement, statement } from '../connections/statement.ts'
import { Eviction, type EvictionState } from './eviction.ts'

/** Pages of the table that are read at once: 2 MiB. */
const pagesPerStep = 256
/** After a step, the sweep pauses for this many times as long: it is one percent of the load of a connection. */
const pauseFactor = 99
/** For a table that may be too large: ten percent. */
const evictionPauseFactor = 9
const minPauseMs = 20
/** Another process continues if this one has not ended its step by then. */
const leaseMs = 60_000
/** Beyond it, the clock of the server was wrong when the step was planned, and nothing would be swept until then. */
const maxPauseMs = 3_600_000

/** What the next step needs to know. It is the value of the row with the empty key, as JSON. */
interface SweepState extends EvictionState {
  /** The next page. */
  readonly page: number
}

/** The step of a process. */
interface Step {
  readonly claim: Statement
  readonly sweep: Statement
  readonly release: Statement
}

/**
 * The row with the empty key, which no item has, contains the state. It expires when the next step is due: a process
 * that replaces it then makes the step. So one process at a time sweeps, by the clock of the server.
 */
function stepOf(table: string): Step {
  const fromNow = (ms: string) => `clock_timestamp() + ${ms}::float8 * interval '1 millisecond'`
  return {
    claim:
      statement(`INSERT INTO ${table} AS t (key, value, expires_at) VALUES ('', '{}', ${fromNow('$1')})
      ON CONFLICT (key) DO UPDATE SET expires_at = excluded.expires_at
      WHERE t.expires_at <= clock_timestamp() OR t.expires_at > ${fromNow('$2')} RETURNING t.value`),
    // A row that a call has locked is skipped: the sweep never waits for a lock.
    sweep: statement(`WITH expired AS (
        SELECT t.ctid FROM ${table} t
        WHERE t.ctid >= $1::tid AND t.ctid < $2::tid
          AND t.expires_at <= clock_timestamp() AND t.key <> ''
        FOR UPDATE SKIP LOCKED
      ), deleted AS (
        DELETE FROM ${table} t WHERE t.ctid = ANY (ARRAY(SELECT ctid FROM expired))
          AND t.expires_at <= clock_timestamp() RETURNING 1
      )
      SELECT (SELECT count(*) FROM deleted), pg_relation_size($3::regclass) / current_setting('block_size')::int`),
    release: statement(
      `UPDATE ${table} SET value = $1, expires_at = ${fromNow('$2')} WHERE key = ''`,
    ),
  }
}

export interface SweepOptions {
  readonly quotedTable: string
  readonly sweepIntervalMs: number
  /** The size of the rows from which others than expired ones are deleted. */
  readonly maxBytes: number | undefined
}

/** Deletes expired rows in the background, once the store has written something. */
export class Sweep {
  readonly #executor: Executor
  readonly #options: SweepOptions
  readonly #step: Step
  readonly #eviction: Eviction | undefined
  #cancel: (() => void) | undefined
  #running: Promise<void> | undefined
  #isClosed = false

  constructor(executor: Executor, options: SweepOptions) {
    this.#executor = executor
    this.#options = options
    this.#step = stepOf(options.quotedTable)
    const { quotedTable, maxBytes } = options
    if (maxBytes !== undefined) this.#eviction = new Eviction(executor, quotedTable, maxBytes)
  }

  /** Starts on the first call. The first step follows within an interval, at another time in each process. */
  start(): void {
    if (this.#cancel !== undefined || this.#isClosed) return
    this.#schedule(this.#options.sweepIntervalMs * Math.random())
  }

  /** Resolves when the step that is being made has ended. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#cancel?.()
    await this.#running
  }

  #schedule(ms: number): void {
    this.#cancel = after(ms, () => {
      this.#running = this.#tryStep()
    })
  }

  async #tryStep(): Promise<void> {
    // Calls of the application report the same error, if it lasts.
    const pauseMs = await this.#makeStep().catch(() => undefined)
    if (!this.#isClosed)
      this.#schedule(pauseMs ?? this.#options.sweepIntervalMs * (0.5 + Math.random()))
  }

  /** Resolves to the time until the next step; `undefined` if another process sweeps. */
  async #makeStep(): Promise<number | undefined> {
    const [row] = await this.#executor.run(this.#step.claim, [`${leaseMs}`, `${maxPauseMs}`])
    if (row === undefined) return undefined
    const before = parseState(row[0] ?? '')
    const { page = 0 } = before
    const startedAt = performance.now()
    const { quotedTable, sweepIntervalMs } = this.#options
    const nextPage = page + pagesPerStep
    const range = [`(${page},0)`, `(${nextPage},0)`] as const
    const [result] = await this.#executor.run(this.#step.sweep, [...range, quotedTable])
    const pages = Number(result?.[1])
    const isEnd = nextPage >= pages
    const eviction = await this.#evict(range, before, isEnd ? pages : undefined)
    const tookMs = performance.now() - startedAt
    const factor = (await this.#eviction?.isLarge()) ? evictionPauseFactor : pauseFactor
    const paceMs = Math.max(minPauseMs, tookMs * factor)
    const pauseMs = isEnd && eviction?.horizon === undefined ? sweepIntervalMs : paceMs
    const state = JSON.stringify({ page: isEnd ? 0 : nextPage, ...eviction })
    await this.#executor.run(this.#step.release, [state, String(pauseMs)])
    return pauseMs
  }

  /** @param pages of the table, if this step ends a pass */
  async #evict(
    range: readonly [string, string],
    before: Partial<SweepState>,
    pages: number | undefined,
  ): Promise<EvictionState | undefined> {
    const state = await this.#eviction?.step(range, before)
    return pages === undefined || state === undefined
      ? state
      : this.#eviction?.nextPass(state, pages)
  }
}

/** Begins a new pass if the state is not valid: another version may have written it. */
function parseState(text: string): Partial<SweepState> {
  try {
    return Object(JSON.parse(text)) as Partial<SweepState>
  } catch {
    return {}
  }
}
