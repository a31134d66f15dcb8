import { strongRead } from '@stowage/core/internal'
import { fc, type Scenario } from '@stowage/testing/simulation'
import { type ClearCall, judgeClears } from './judge-clears.ts'

const keys = ['key0', 'key1', 'key2', 'key3', 'key4', 'key5']

/** `clear()` of a prefix on a backend that cannot list its keys, while nodes, items and processes come and go. */
export const generations: Scenario<ClearCall> = {
  name: 'generations',
  summary: 'clear() on a backend that cannot list its keys: a cleared entry never comes back',
  traits: fc.record({
    scan: fc.constant(false),
    nodes: fc.constantFrom(1, 3, 4),
    ordered: fc.boolean(),
  }),
  call: fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        op: fc.constantFrom('set', 'set', 'get', 'strong get', 'strong get', 'add'),
        key: fc.constantFrom(...keys),
      }),
    },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('clear') }) },
  ) as unknown as fc.Arbitrary<ClearCall>,
  gapMs: 5,
  groupMs: 1_500,
  maxCalls: 30,
  // Small items share a slab of memcached.
  isRelated: (key) => key.includes('~generation'),
  faults: [
    'evict',
    'evict-related',
    'node-added',
    'node-removed',
    'node-replaced',
    'restart-empty',
    'pause',
    'clock-step',
    'partition',
  ],
  lastCalls: keys.map((key) => ({ op: 'strong get' as const, key })),
  isOwnKey: (key) => key.includes('key'),
  start({ Cache, prefix, store, clock, nextOrder }) {
    const cache = new Cache(store, { prefix, clock })
    const run = async (call: ClearCall): Promise<unknown> => {
      if (call.op === 'clear') return cache.clear()
      if (call.op === 'get') return cache.get(call.key)
      if (call.op === 'strong get') return cache.get(call.key, strongRead)
      // The value identifies the write.
      const value = nextOrder()
      return (await cache[call.op](call.key, value)) === false ? undefined : value
    }
    return { run, close: () => cache.close() }
  },
  judge: judgeClears,
}
