import { fc, type Scenario } from '@stowage/testing/simulation'
import { judgeLoads } from './judges/judge-loads.ts'
import { type LoadCall, loadKeys } from './judges/load-history.ts'
import { taggedCall } from './load-calls.ts'
import { LoadProgram } from './load-program.ts'
import { isMemory } from './remember.ts'

/** Tagged entries, and invalidations that fall into their loads. */
export const tags: Scenario<LoadCall> = {
  name: 'tags',
  summary: 'tags: nothing that was loaded before an acknowledged invalidation is returned after it',
  traits: fc.record({
    scan: fc.constantFrom(true, true, false),
    ordered: fc.boolean(),
    nodes: fc.constantFrom(1, 3),
    copies: fc.constantFrom(0, 0, 1),
  }),
  call: taggedCall,
  gapMs: 5,
  groupMs: 120,
  withoutFaults: ({ scan }) => scan === false,
  isRelated: (key) => key.includes('~tag:'),
  faults: [
    'partition',
    'restart',
    'restart-empty',
    'evict',
    'evict-related',
    'pause',
    'kill',
    'clock-step',
  ],
  lastCalls: [
    ...loadKeys.map((key) => ({ op: 'get' as const, key, inNamespace: false })),
    { op: 'getMany' as const, key: loadKeys[0], inNamespace: true },
  ],
  isOwnKey: (key, value) => key.includes('key') && !isMemory(value),
  start: (context) => new LoadProgram(context),
  judge: judgeLoads,
}
