import { createHash } from 'node:crypto'
import { fc, planOf, runPlan, type Scenario } from '@stowage/testing/simulation'
import { expect, test } from 'vitest'

interface StoreCall {
  readonly op: 'get' | 'set' | 'increment' | 'publish' | 'random'
  readonly key: string
}

/** Everything that a run can differ in, without the caches: their requests change with every version of core. */
const everything: Scenario<StoreCall> = {
  name: 'everything',
  summary: 'the simulated world itself',
  traits: fc.record({
    nodes: fc.constantFrom(1, 3),
    copies: fc.constantFrom(0, 1),
    ordered: fc.boolean(),
  }),
  call: fc.record({
    op: fc.constantFrom('get', 'set', 'increment', 'publish', 'random'),
    key: fc.constantFrom('a', 'b', 'c'),
  }),
  faults: [
    'partition',
    'partition-copy',
    'restart',
    'restart-empty',
    'evict',
    'node-added',
    'node-removed',
    'node-replaced',
    'lost-writes',
    'pause',
    'kill',
    'clock-step',
  ],
  start({ store, bus, clock }) {
    let received = 0
    bus?.subscribe(() => received++)
    const run = async ({ op, key }: StoreCall): Promise<unknown> => {
      if (op === 'get') return String(await store.get(key, { consistency: 'eventual' }))
      if (op === 'set') return store.set(key, String(received), 50)
      if (op === 'increment') return store.increment(key, 1)
      if (op === 'publish') return bus?.publish([key])
      await clock.sleep(Math.random() * 10)
      return [crypto.randomUUID(), clock.now(), clock.monotonic?.(), performance.now(), received]
    }
    return { run, close: () => store.close() }
  },
  judge: () => undefined,
}

// Run on every machine and version of Node that tests this package. A change of the simulation changes the digest.
test('a seed gives the same trace on every machine', async () => {
  const hash = createHash('sha256')
  for (let seed = 0; seed < 50; seed++) {
    const { trace } = await runPlan(everything, planOf(everything, seed), { isTraced: true })
    hash.update(String(trace))
  }
  expect(hash.digest('hex').slice(0, 16)).toBe('bf46120ab3321b2f')
})
