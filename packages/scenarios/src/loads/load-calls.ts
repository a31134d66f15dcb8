import { fc } from '@stowage/testing/simulation'
import { type LoadCall, loadKeys } from './judges/load-history.ts'

/** Its values are loaded without a lease, which does not notice what other processes write. */
const unleasedKey = 'key2'
const tagNames = ['tag0', 'tag1'] as const

const target = {
  // Many calls for one key, so that they meet.
  key: fc.constantFrom('key0', 'key0', 'key0', ...loadKeys, unleasedKey),
  inNamespace: oneIn(8),
}
const tags = fc.oneof(
  { weight: 2, arbitrary: fc.constant(undefined) },
  { weight: 3, arbitrary: fc.subarray([...tagNames], { minLength: 1 }) },
)
const window = fc.constantFrom(undefined, undefined, undefined, 100, 400, 2_000)

const settings = {
  loadMs: fc.oneof(
    { weight: 3, arbitrary: fc.nat({ max: 20 }) },
    { weight: 1, arbitrary: fc.nat({ max: 300 }) },
  ),
  outcome: fc.oneof(
    { weight: 7, arbitrary: fc.constant('value') },
    { weight: 2, arbitrary: fc.constant('error') },
    { weight: 1, arbitrary: fc.constantFrom('undefined', 'skip', 'private') },
    { weight: 1, arbitrary: fc.constant('not modified') },
  ),
  stopsOnAbort: fc.boolean(),
  ttl: fc.constantFrom(undefined, undefined, 50, 50, 300, 1_000),
  staleWhileRevalidate: window,
  staleIfError: window,
  backoff: mostly(undefined, fc.constant(1_000)),
  lease: fc.oneof(
    { weight: 5, arbitrary: fc.constant(undefined) },
    { weight: 2, arbitrary: fc.integer({ min: 30, max: 100 }) },
  ),
  refresh: oneIn(10),
  timeout: mostly(undefined, fc.integer({ min: 5, max: 60 })),
  abortMs: mostly(undefined, fc.integer({ min: 1, max: 40 })),
  nested: mostly(undefined, fc.constantFrom(...loadKeys)),
}

const withLease = fc.record({ ...target, ...settings, op: fc.constant('remember') })
const remembering = withLease.map((call) =>
  call.key === unleasedKey ? { ...call, lease: false } : call,
)
const others = fc.record({
  ...target,
  op: fc.constantFrom('get', 'get', 'set', 'add', 'update', 'delete', 'delete', 'expire', 'clear'),
})
const crowd = fc.record({ ...target, op: fc.constant('crowd') })

/** Calls of `remember`, with all its options but tags, and writes that fall into the loads. */
export const loadCall = fc.oneof(
  { weight: 60, arbitrary: remembering },
  { weight: 39, arbitrary: others },
  { weight: 1, arbitrary: crowd },
) as unknown as fc.Arbitrary<LoadCall>

/** The same with tags. */
export const taggedCall = fc.oneof(
  {
    weight: 45,
    arbitrary: fc.record({
      ...target,
      ...settings,
      op: fc.constant('remember'),
      nested: fc.constant(undefined),
      tags,
      lateTags: tags,
    }),
  },
  {
    weight: 15,
    arbitrary: fc.record({ ...target, op: fc.constantFrom('set', 'set', 'add', 'update'), tags }),
  },
  { weight: 20, arbitrary: fc.record({ ...target, op: fc.constantFrom('get', 'get', 'getMany') }) },
  {
    weight: 20,
    arbitrary: fc.record({
      ...target,
      op: fc.constant('invalidate'),
      tags: fc.subarray([...tagNames], { minLength: 1 }),
      stale: oneIn(3),
    }),
  },
) as unknown as fc.Arbitrary<LoadCall>

/** Both, with more calls of `clear()`, and more of them in the namespace, whose generations lie in those around it. */
export const clearedCall = fc
  .tuple(
    fc.oneof(
      { weight: 55, arbitrary: loadCall },
      { weight: 30, arbitrary: taggedCall },
      {
        weight: 15,
        arbitrary: fc.record({
          op: fc.constant('clear' as const),
          key: fc.constant('key0'),
          inNamespace: fc.constant(false),
        }),
      },
    ),
    oneIn(3),
  )
  .map(([call, isInner]) =>
    isInner ? { ...call, inNamespace: true } : call,
  ) as fc.Arbitrary<LoadCall>

/** The same for several keys at once, in any order, and all with leases: each call waits for the loads of others. */
export const groupedCall = fc.oneof(
  {
    weight: 50,
    arbitrary: fc
      .record({
        ...target,
        ...settings,
        op: fc.constant('remember'),
        nested: fc.constant(undefined),
        group: fc.shuffledSubarray([...loadKeys], { minLength: 2 }),
      })
      .map((call) => ({ ...call, key: call.group[0] })),
  },
  { weight: 30, arbitrary: withLease },
  { weight: 20, arbitrary: others },
) as unknown as fc.Arbitrary<LoadCall>

function mostly<T>(usual: T, other: fc.Arbitrary<T | NonNullable<unknown>>): fc.Arbitrary<unknown> {
  return fc.oneof({ weight: 4, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: other })
}

function oneIn(count: number): fc.Arbitrary<boolean> {
  return fc.nat({ max: count - 1 }).map((draw) => draw === count - 1)
}
