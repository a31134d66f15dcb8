import fc from 'fast-check'
import { type History, type HistoryEntry, resultOf } from '../judges/history.ts'
import { judgeRegisters } from '../judges/register-history.ts'
import {
  type FacadeCall,
  facadeCall,
  facadeEffects,
  facadeKeys,
  runFacadeCall,
} from './facade-calls.ts'
import type { Scenario } from './scenario.ts'

type Entry = HistoryEntry<FacadeCall>

const strongRead = { consistency: 'strong' } as const

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
  faults: [
    'partition',
    'partition-copy',
    'restart',
    'restart-empty',
    'evict',
    'pause',
    'kill',
    'clock-step',
  ],
  lastCalls: facadeKeys.flatMap((key) =>
    [false, true].map((inNamespace) => ({ op: 'get' as const, key, inNamespace })),
  ),
  isOwnKey: (key) => key.includes('key'),
  start({ Cache, prefix, store, clock }) {
    const cache = new Cache(store, { prefix, clock })
    cache.namespace('ns')
    return { run: (call) => runFacadeCall(cache, call, strongRead), close: () => cache.close() }
  },
  judge(history, { traits: { scan, ttlStep } }) {
    const base = { effects: facadeEffects, keyOf, ttlStep }
    const rules = scan ? base : { ...base, ...rulesOfGenerations(history) }
    return judgeBursts(history) ?? judgeRegisters(history, rules)
  },
}

/** Without faults, no call is refused because of other calls of its process. */
function judgeBursts({ entries, isFaultless }: History<FacadeCall>): string | undefined {
  const refused = entries.find((entry) => entry.call.op === 'burst' && Number(resultOf(entry)) > 0)
  if (refused === undefined || !isFaultless) return undefined
  return `${resultOf(refused)} concurrent calls of replace() by ${refused.process} were refused.`
}

/**
 * What calls may do besides, where a clear begins a new generation:
 *
 * - A write may take effect in several generations. It is sent with the id of the generation that its process knows,
 *   together with a read of the id, and sent again if that finds a newer one: so it takes one round trip instead of two.
 *   A call that read the id before the clear, and reads the key after the write, returns what was written in the old
 *   generation. So others may see the write, then miss it because of the clear, and see it again.
 * - A write that is followed by a clear of its own process before it has a result is not sent again, or it would outlive
 *   the clear. If its process did not know of an earlier clear by another process, its result is that of the generation
 *   before. It has no effect then, as the clear that follows requires.
 */
function rulesOfGenerations({ entries, requests }: History<FacadeCall>) {
  const clears = entries.filter(({ call }) => call.op === 'clear')
  const isUnjudged = ({ call, process, invoked, settled = Infinity }: Entry): boolean =>
    call.op !== 'clear' &&
    clears.some(
      (clear) => clear.process === process && clear.invoked > invoked && clear.invoked < settled,
    )
  const repetitions = (entry: Entry, key: string): number => {
    const { process, invoked, settled = Infinity } = entry
    // A clear by generations writes no keys.
    if (entry.call.op === 'clear') return 0
    // On a real backend, the requests are not known.
    if (requests.length === 0) return clears.filter((clear) => clear.invoked < settled).length
    const sent = requests.filter(
      (request) =>
        request.process === process &&
        request.sent > invoked &&
        request.sent < settled &&
        !request.operation.startsWith('get'),
    )
    const storageKeys = sent.flatMap(({ keys }) => keys).filter((each) => keyOf(each) === key)
    return Math.max(0, new Set(storageKeys).size - 1)
  }
  return { isUnjudged, repetitions }
}

/** The key of a storage key: `app:key0`, or with generations `app:<id>:ns:<id>:key0`. */
function keyOf(storageKey: string): string | undefined {
  const key = /key\d$/.exec(storageKey)?.[0]
  return key !== undefined && storageKey.includes('ns:') ? `ns/${key}` : key
}
