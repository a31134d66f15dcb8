import type { ConformanceContext } from './context.ts'
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
