import type { Cache, ReadOptions } from '@stowage/core'
import { strongRead } from '@stowage/core/internal'
import fc from 'fast-check'
import { type History, resultOf } from '../programs/history.ts'
import {
  faultsOfFixedNodes,
  type JudgeContext,
  type Program,
  type Scenario,
} from '../programs/scenario.ts'
import { ClearsByGeneration } from './clears-by-generation.ts'
import {
  type FacadeCall,
  facadeCall,
  facadeEffects,
  facadeKeys,
  runFacadeCall,
} from './facade-calls.ts'
import { judgeRegisters } from './register-history.ts'

/** Calls of the facade. Strong reads see the calls for a key one after another, whatever the backend and the network do. */
export const facade: Scenario<FacadeCall> = {
  name: 'facade',
  summary: 'every call of a cache: single-key histories are linearizable under strong reads',
  traits: fc.record({
    // Generations take several times as many requests.
    scan: fc.constantFrom(true, true, false),
    ordered: fc.boolean(),
    ttlStep: fc.constantFrom(1, 1_000),
    nodes: fc.constantFrom(1, 3),
    copies: fc.constantFrom(0, 1),
  }),
  // A process that cannot read the id of a generation may begin a new one: a miss, at any time.
  withoutFaults: ({ scan }) => scan === false,
  call: facadeCall,
  gapMs: 5,
  faults: faultsOfFixedNodes,
  lastCalls: facadeKeys.flatMap((key) =>
    [false, true].map((inNamespace) => ({ op: 'get' as const, key, inNamespace })),
  ),
  isOwnKey: (key) => key.includes('key'),
  start: ({ Cache, prefix, store, clock }) =>
    facadeProgram(new Cache(store, { prefix, clock }), strongRead),
  judge: judgeFacade,
}

/** Makes the calls of {@link facade} on a cache, with these options for reads. */
export function facadeProgram(cache: Cache, reads?: ReadOptions): Program<FacadeCall> {
  cache.namespace('ns')
  return { run: (call) => runFacadeCall(cache, call, reads), close: () => cache.close() }
}

/** Returns what is wrong with the history of calls of {@link facade}, if anything. */
export function judgeFacade(
  history: History<FacadeCall>,
  { traits: { scan, ttlStep } }: JudgeContext,
  options?: { readonly keepsOrderOfTicks?: boolean },
): string | undefined {
  const base = { effects: facadeEffects, keyOf, ttlStep, ...options }
  const rules = scan ? base : { ...base, ...new ClearsByGeneration(history, keyOf).rules }
  return judgeBursts(history) ?? judgeRegisters(history, rules)
}

/** Without faults, no call is refused because of other calls of its process. */
function judgeBursts({ entries, isFaultless }: History<FacadeCall>): string | undefined {
  const refused = entries.find((entry) => entry.call.op === 'burst' && Number(resultOf(entry)) > 0)
  if (refused === undefined || !isFaultless) return undefined
  return `${resultOf(refused)} concurrent calls of replace() by ${refused.process} were refused.`
}

/** The key of a storage key: `app:key0`, or with generations `app:<id>:ns:<id>:key0`. */
function keyOf(storageKey: string): string | undefined {
  const key = /key\d$/.exec(storageKey)?.[0]
  return key !== undefined && storageKey.includes(':ns:') ? `ns/${key}` : key
}
