import { fc, type Scenario } from '@stowage/testing/simulation'
import { isIdKey } from '../generation-ids.ts'
import { judgeLoads } from './judges/judge-loads.ts'
import { type LoadCall, loadKeys } from './judges/load-history.ts'
import { clearedCall, groupedCall, loadCall } from './load-calls.ts'
import { LoadProgram } from './load-program.ts'

/** Loads, and writes that fall into them. */
export const remember: Scenario<LoadCall> = {
  name: 'remember',
  summary:
    'loads that overlap with writes: one load at a time, and no loaded value outlives a later write',
  traits: fc
    .record({
      scan: fc.constantFrom(true, true, false),
      ordered: fc.boolean(),
      nodes: fc.constantFrom(1, 3),
      copies: fc.constantFrom(0, 0, 1),
    })
    .map((traits) => ({ ...traits, revealsTtl: traits.ordered || traits.nodes === 1 })),
  call: loadCall,
  gapMs: 5,
  groupMs: 120,
  // A lost id ends a generation like a clear: `clearedLoads` covers it.
  withoutFaults: ({ scan }) => scan === false,
  faults: ['partition', 'restart', 'restart-empty', 'evict', 'pause', 'kill', 'clock-step'],
  lastCalls: loadKeys.map((key) => ({ op: 'get' as const, key, inNamespace: false })),
  isOwnKey: (key, value) => key.includes('key') && !isMemory(value),
  start: (context) => new LoadProgram(context),
  judge: judgeLoads,
}

/** The same on backends that cannot list their keys, which lose items and ids of generations. */
export const clearedLoads: Scenario<LoadCall> = {
  ...remember,
  name: 'cleared-loads',
  summary: 'loads that overlap with clears on a backend that cannot list its keys, and loses ids',
  traits: remember.traits.map((traits) => ({ ...traits, scan: false })),
  call: clearedCall,
  // Longer than processes use an id without reading it again.
  groupMs: 1_500,
  isRelated: isIdKey,
  withoutFaults: () => false,
  faults: [...remember.faults, 'evict-related', 'evict-related'],
  lastCalls: [
    ...loadKeys.map((key) => ({ op: 'get' as const, key, inNamespace: false })),
    { op: 'getMany' as const, key: loadKeys[0], inNamespace: true },
  ],
}

/** The same with calls for several keys, which wait for each other's loads. */
export const groupedLoads: Scenario<LoadCall> = {
  ...remember,
  name: 'grouped-loads',
  summary: 'the same with rememberMany: groups of keys in any order, each loaded once',
  call: groupedCall,
}

/** Whether an entry of a map is one of those that a cache keeps for later calls: numbers are times, lists are tags. */
export function isMemory(value: unknown): boolean {
  return typeof value === 'number' || Array.isArray(value)
}
