import { withBatching } from '@stowage/core'
import fc from 'fast-check'
import { judgeFailures } from '../../judges/failures.ts'
import { judgeRegisters } from '../../judges/registers/register-history.ts'
import type { Scenario } from '../../programs/scenario.ts'
import {
  type FacadeCall,
  facadeCall,
  facadeEffects,
  facadeKeys,
  runFacadeCall,
} from './facade-calls.ts'

/** Calls of one tick, which are merged, over requests that overtake each other. */
export const batching: Scenario<FacadeCall> = {
  name: 'batching',
  summary:
    'withBatching and withKeyOrder: the calls of a tick keep their order, each has its own outcome',
  traits: fc.record({
    scan: fc.constant(true),
    ordered: fc.boolean(),
    nodes: fc.constantFrom(1, 3),
  }),
  call: facadeCall,
  gapMs: 5,
  ticks: true,
  faults: ['partition', 'restart', 'restart-empty', 'evict', 'pause', 'kill'],
  lastCalls: facadeKeys.map((key) => ({ op: 'get' as const, key, inNamespace: false })),
  isOwnKey: (key) => key.includes('key'),
  start({ Cache, withKeyOrder, prefix, store, clock }) {
    const batched = withBatching(withKeyOrder(store), { maxKeys: 4, overlap: true })
    const cache = new Cache(batched, { prefix, clock })
    cache.namespace('ns')
    // Reads with options are not merged.
    return { run: (call) => runFacadeCall(cache, call, undefined), close: () => cache.close() }
  },
  judge: (history, { traits: { ttlStep } }) =>
    judgeFailures(history, keysOf) ??
    judgeRegisters(history, { effects: facadeEffects, keyOf, ttlStep, keepsOrderOfTicks: true }),
}

/** `app:key0`, or `app:ns:key0` in the namespace. */
function keyOf(storageKey: string): string {
  return storageKey.slice('app:'.length).replace('ns:', 'ns/')
}

function keysOf(call: FacadeCall): readonly string[] | undefined {
  if (call.op === 'clear' || call.op === 'burst') return undefined
  return 'keys' in call ? call.keys : [call.key]
}
