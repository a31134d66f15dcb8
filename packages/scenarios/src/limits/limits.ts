import type { Scenario } from '@stowage/testing/simulation'
import { fc } from '@stowage/testing/simulation'
import { judgeLimits } from './judge-limits.ts'
import { type LimitCall, limitKeys, limitPolicies, singleKey } from './limit-history.ts'
import { LimitProgram } from './limit-program.ts'

const policy = fc.constantFrom(...limitPolicies)
const key = fc.constantFrom(...limitKeys)
const cost = fc.integer({ min: 1, max: 3 })

const consume = fc
  .record({
    op: fc.constant('consume'),
    policy,
    key,
    cost,
    onError: fc.constantFrom('throw', 'throw', 'allow', 'deny'),
  })
  .map((call) => ({
    ...call,
    cost: call.key === singleKey ? 1 : call.cost,
    onError: call.policy === 'bucket' ? 'throw' : call.onError,
  }))
const slot = fc.record({
  op: fc.constant('slot'),
  policy,
  key,
  ttl: fc.constantFrom(300, 1_000),
  wait: fc.constantFrom(0, 100, 600),
  workMs: fc.nat({ max: 300 }),
})

/** Limits that processes share whose clocks differ by ten minutes. */
export const limits: Scenario<LimitCall> = {
  name: 'limits',
  summary: 'rate and concurrency limits: never more than allowed, and no fewer without faults',
  traits: fc.record({
    scan: fc.constantFrom(true, true, false),
    ordered: fc.boolean(),
    nodes: fc.constantFrom(1, 3),
    copies: fc.constantFrom(0, 0, 1),
    ttlStep: fc.constantFrom(1, 1, 1_000),
  }),
  call: fc.oneof(
    { weight: 24, arbitrary: consume },
    { weight: 4, arbitrary: slot },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('undo'), policy, key, cost }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constantFrom('peek', 'clear'), policy, key }) },
    {
      weight: 1,
      // Rare, because nothing is judged for the key after it.
      arbitrary: fc.record({ op: fc.constantFrom('peek', 'peek', 'reset'), policy, key }),
    },
  ) as unknown as fc.Arbitrary<LimitCall>,
  gapMs: 20,
  maxCalls: 120,
  faults: ['partition', 'restart', 'evict', 'pause', 'kill', 'clock-step'],
  isOwnKey: (storageKey) => storageKey.includes('key') || storageKey.includes(':c:'),
  start: (context) => new LimitProgram(context),
  judge: judgeLimits,
}
