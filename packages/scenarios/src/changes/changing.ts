import type { Scenario } from '@stowage/testing/simulation'
import { fc } from '@stowage/testing/simulation'
import { isMemory } from '../loads/remember.ts'
import { type ChangeCall, ChangeLog, rows } from './change-log.ts'
import { ChangeProgram } from './change-program.ts'
import { judgeChanges } from './judge-changes.ts'

const row = fc.constantFrom('key0', 'key0', ...rows)
const window = fc.constantFrom(undefined, undefined, 400)

const remembering = fc.record({
  op: fc.constantFrom('remember', 'remember', 'remember', 'rememberMany'),
  row,
  loadMs: fc.nat({ max: 40 }),
  ttl: fc.constantFrom(undefined, undefined, 30, 200),
  staleWhileRevalidate: window,
  staleIfError: window,
  fails: fc.nat({ max: 9 }).map((draw) => draw === 0),
})
const change = fc.record({
  op: fc.constant('change'),
  writes: fc.uniqueArray(
    fc.record({
      row,
      isLate: fc.boolean(),
      statements: fc.constantFrom(1, 1, 2, 8),
      stepMs: fc.constantFrom(0, 2, 10, 20, 25),
    }),
    { minLength: 1, maxLength: 3, selector: (write) => write.row },
  ),
  outcome: fc.constantFrom('commit', 'commit', 'commit', 'rollback'),
  commitMs: fc.constantFrom(0, 2, 10),
  /** Time between the commit and the end of the work. */
  restMs: fc.constantFrom(0, 5, 60),
  forMs: fc.constantFrom(120, 120, 600),
})

/** Changes of a database, and reads of what is loaded from it. Only `clear()` loses marks. */
export const changing: Scenario<ChangeCall> = {
  name: 'changing',
  summary: 'changing: no read that begins after a commit returns what the commit has replaced',
  traits: fc.record({
    scan: fc.constantFrom(true, true, true, false),
    ordered: fc.boolean(),
    nodes: fc.constantFrom(1, 3),
    ttlStep: fc.constantFrom(1, 1, 1_000),
    variant: fc.constantFrom(0, 1),
  }),
  call: fc.oneof(
    { weight: 50, arbitrary: remembering },
    { weight: 20, arbitrary: fc.record({ op: fc.constantFrom('get', 'getMany'), row }) },
    { weight: 29, arbitrary: change },
    { weight: 8, arbitrary: fc.record({ op: fc.constant('invalidate'), row }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('clear'), row }) },
  ) as unknown as fc.Arbitrary<ChangeCall>,
  gapMs: 8,
  groupMs: 250,
  withoutFaults: ({ scan }) => scan === false,
  faults: ['partition', 'partition', 'restart', 'pause', 'pause', 'kill', 'kill', 'clock-step'],
  lastCalls: rows.map((each) => ({ op: 'check' as const, row: each })),
  // Near caches keep entries.
  isOwnKey: () => false,
  start: (context) => new ChangeProgram(context),
  judge: (history, { shared, traits }) => judgeChanges(history, ChangeLog.of(shared), traits),
}

/** The same on backends that lose marks: until a change ends, values from before it may be stored. */
export const lostMarks: Scenario<ChangeCall> = {
  ...changing,
  name: 'lost-marks',
  summary: 'changing where the backend loses marks: what was stored meanwhile ends with the change',
  traits: changing.traits.map((traits) => ({ ...traits, variant: 0 })),
  isOwnKey: (key, value) => key.includes('key') && !isMemory(value),
  isRelated: (key) => key.includes('~tag:') || key.includes('key'),
  faults: [...changing.faults, 'evict', 'evict-related', 'evict-related', 'restart-empty'],
}
