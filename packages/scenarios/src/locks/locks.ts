import type { Scenario } from '@stowage/testing/simulation'
import { fc } from '@stowage/testing/simulation'
import { judgeLocks } from './judge-locks.ts'
import { type LockCall, lockKeys } from './lock-history.ts'
import { LockProgram } from './lock-program.ts'

const key = fc.constantFrom('key0', 'key0', ...lockKeys)
const ttl = fc.constantFrom(100, 300, 300, 1_000)

/** Locks whose holders are delayed, suspended, separated or killed. */
export const locks: Scenario<LockCall> = {
  name: 'locks',
  summary: 'locks: one holder at a time, and fencing numbers that rise in the order of the holders',
  traits: fc.record({
    scan: fc.constantFrom(true, true, false),
    ordered: fc.boolean(),
    nodes: fc.constantFrom(1, 3),
    copies: fc.constantFrom(0, 0, 1),
    ttlStep: fc.constantFrom(1, 1, 1_000),
  }),
  call: fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        op: fc.constant('run'),
        key,
        ttl,
        wait: fc.constantFrom(0, 100, 600, 2_000),
        workMs: fc.oneof(fc.nat({ max: 60 }), fc.nat({ max: 600 })),
        fences: fc.nat({ max: 2 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('hand over'), key, ttl }) },
    {
      weight: 3,
      arbitrary: fc.record({
        op: fc.constantFrom('adopt', 'release', 'isLocked', 'clear'),
        key,
      }),
    },
  ) as unknown as fc.Arbitrary<LockCall>,
  gapMs: 25,
  maxCalls: 40,
  isRelated: (storageKey) => storageKey.includes('~fence:'),
  faults: [
    'partition',
    'restart',
    'restart-empty',
    'lost-writes',
    'evict',
    'evict-related',
    'pause',
    'kill',
    'clock-step',
  ],
  isOwnKey: (storageKey) => storageKey.includes('key'),
  start: (context) => new LockProgram(context),
  judge: judgeLocks,
}
