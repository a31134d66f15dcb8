import type { ConformanceContext } from './context.ts'
import { Fixture } from './fixture.ts'

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
  | 'order'
  | 'sharing'
  | 'outage'
  | 'facade'
  | 'ttl'
  | 'remember'
  | 'leases'
  | 'stale values'
  | 'parts'
  | 'tags'
  | 'changes'
  | 'locks'
  | 'rate limits'
  | 'corrupt'
  | 'codecs'

/** The check of one rule of the contract. */
export interface ConformanceCase {
  /** The rule in words. */
  readonly name: string
  readonly group: ConformanceGroup
  /** Rejects with an `AssertionError`, or with an error of the store, if the store breaks the rule. */
  run(context: ConformanceContext): Promise<void>
}

/** Creates the cases of a group from its rules. */
export function group(
  name: ConformanceGroup,
  rules: Readonly<Record<string, (fixture: Fixture) => Promise<void>>>,
): readonly ConformanceCase[] {
  return Object.entries(rules).map(([rule, check]) => ({
    name: rule,
    group: name,
    run: async (context) => {
      const fixture = new Fixture(context)
      try {
        await check(fixture)
      } finally {
        await fixture.close()
      }
    },
  }))
}
