import type { Awaitable, CacheStore } from '@stowage/core'
import { Subject } from './subject.ts'

export type ConformanceGroup =
  | 'read'
  | 'write'
  | 'atomic'
  | 'counters'
  | 'expiry'
  | 'keys'
  | 'values'
  | 'batches'
  | 'limits'
  | 'scan'
  | 'clear'
  | 'lifecycle'
  | 'errors'
  | 'facade'
  | 'ttl'
  | 'remember'
  | 'corrupt'

/** What a case is run with. */
export interface ConformanceContext {
  /** A fresh store. The case does not close it, unless closing is what it is about. */
  readonly store: CacheStore
  /** Lets time pass for the store: a real sleep for a server, `clock.advance` for a store on a manual clock. */
  readonly wait: (ms: number) => Awaitable<void>
  /**
   * Whether `wait` moves a manual clock, the only thing that moves it. Then every ttl is checked to the
   * millisecond; otherwise nothing depends on the machine being fast or a sleep being exact.
   * @default false
   */
  readonly exact?: boolean | undefined
}

/** One rule of the contract, as a check that rejects when the rule is broken. */
export interface ConformanceCase {
  /** The rule, in words. */
  readonly name: string
  readonly group: ConformanceGroup
  run(context: ConformanceContext): Promise<void>
}

/** Makes the cases of a group from its rules. */
export function group(
  name: ConformanceGroup,
  rules: Readonly<Record<string, (subject: Subject) => Promise<void>>>,
): readonly ConformanceCase[] {
  return Object.entries(rules).map(([rule, check]) => ({
    name: rule,
    group: name,
    run: async (context) => check(new Subject(context)),
  }))
}
