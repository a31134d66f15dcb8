import { withBatching } from '@stowage/core'
import {
  type FacadeCall,
  facade,
  facadeProgram,
  fc,
  judgeFacade,
  type Scenario,
} from '@stowage/testing/simulation'
import { judgeFailures } from '../judge-failures.ts'

/** Calls of one tick, which are merged, over requests that overtake each other. */
export const batching: Scenario<FacadeCall> = {
  ...facade,
  name: 'batching',
  summary:
    'withBatching and withKeyOrder: the calls of a tick keep their order, each has its own outcome',
  traits: fc.record({
    scan: fc.constant(true),
    ordered: fc.boolean(),
    nodes: fc.constantFrom(1, 3),
  }),
  ticks: true,
  faults: ['partition', 'restart', 'restart-empty', 'evict', 'pause', 'kill'],
  lastCalls: (facade.lastCalls ?? []).filter(isOfRoot),
  start({ Cache, withKeyOrder, prefix, store, clock }) {
    const batched = withBatching(withKeyOrder(store), { maxKeys: 4, overlap: true })
    // Reads with options are not merged.
    return facadeProgram(new Cache(batched, { prefix, clock }))
  },
  judge: (history, context) =>
    judgeFailures(history, keysOf) ?? judgeFacade(history, context, { keepsOrderOfTicks: true }),
}

function isOfRoot({ inNamespace }: FacadeCall): boolean {
  return !inNamespace
}

function keysOf(call: FacadeCall): readonly string[] | undefined {
  if (call.op === 'clear' || call.op === 'burst') return undefined
  return 'keys' in call ? call.keys : [call.key]
}
