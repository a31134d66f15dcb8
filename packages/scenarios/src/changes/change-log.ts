import type { HistoryEntry } from '@stowage/testing/simulation'
import { Database } from './database.ts'

/** The rows of the database. Each is cached under a key of its name. */
export const rows = ['key0', 'key1', 'key2', 'key3'] as const

/** What is marked for a change of a row: the key of the first ones, and the tag of the others. */
export function namesOf(row: string): { readonly keys?: string[]; readonly tags?: string[] } {
  if (row === 'key0' || row === 'key1') return { keys: [row] }
  return { tags: ['tag'] }
}

/** A row whose tag is known only when it is loaded. */
export const lateRow = 'key3'

/** The ttl of the near caches of those runs that have them, in milliseconds. */
export const nearTtlMs = 60

export interface RowWrite {
  readonly row: string
  /** Whether the row is marked within the transaction. */
  readonly isLate: boolean
  /** How many statements the transaction makes for it, and the time before each. */
  readonly statements: number
  readonly stepMs: number
}

export type ChangeCall =
  | {
      readonly op: 'remember' | 'rememberMany'
      readonly row: string
      readonly loadMs: number
      readonly ttl: number | undefined
      readonly staleWhileRevalidate: number | undefined
      readonly staleIfError: number | undefined
      readonly fails: boolean
    }
  | { readonly op: 'get' | 'getMany' | 'invalidate' | 'clear' | 'check'; readonly row: string }
  | {
      readonly op: 'change'
      readonly writes: readonly RowWrite[]
      readonly outcome: 'commit' | 'rollback'
      readonly commitMs: number
      /** How long the work lasts after the commit. */
      readonly restMs: number
      readonly forMs: number
    }

export type ChangeEntry = HistoryEntry<ChangeCall>

/** What the processes record besides the history. */
export class ChangeLog {
  /** It ends idle transactions before a mark can expire that has certainly stood at `assertHeld`. */
  readonly database: Database = new Database(30)
  /** The calls that change rows, by the id of their transaction; and when each row was marked. */
  readonly changes: Map<
    number,
    { readonly call: ChangeCall; readonly markedAt: Map<string, number> }
  > = new Map()
  problem: string | undefined

  static of(shared: ReadonlyMap<string, unknown>): ChangeLog {
    return (shared.get('changes') as ChangeLog | undefined) ?? new ChangeLog()
  }
}
