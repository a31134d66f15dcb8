import type { Awaitable, CacheStore } from '@stowage/core'
import { changes } from './cache/changes.ts'
import { codecCases } from './cache/codecs.ts'
import { corrupt } from './cache/corrupt.ts'
import { facade } from './cache/facade.ts'
import { leases } from './cache/leases.ts'
import { locks } from './cache/locks/locks.ts'
import { rateLimits } from './cache/locks/rate-limits.ts'
import { parts } from './cache/parts.ts'
import { remember } from './cache/remember.ts'
import { staleValues } from './cache/stale-values.ts'
import { tags } from './cache/tags.ts'
import { ttl } from './cache/ttl.ts'
import { order } from './concurrency/order.ts'
import { sharing } from './concurrency/sharing.ts'
import { buffers } from './guarantees/buffers.ts'
import { errors } from './guarantees/errors.ts'
import { expiry } from './guarantees/expiry.ts'
import { keys } from './guarantees/keys.ts'
import { lifecycle } from './guarantees/lifecycle.ts'
import { lifetimes } from './guarantees/lifetimes.ts'
import { limits } from './guarantees/limits.ts'
import { outage } from './guarantees/outage.ts'
import { remainingTtl } from './guarantees/remaining-ttl.ts'
import { values } from './guarantees/values.ts'
import { atomic } from './operations/atomic.ts'
import { batches } from './operations/batches.ts'
import { clear } from './operations/clear.ts'
import { counters } from './operations/counters.ts'
import { read } from './operations/read.ts'
import { scan } from './operations/scan.ts'
import { write } from './operations/write.ts'
import type { ConformanceCase, ConformanceGroup } from './support/case.ts'
import type { ConformanceContext } from './support/context.ts'

/**
 * The rules of the contract as data, for a runner that selects among them. Each case needs a new store and uses unique
 * keys. Only the group `clear` deletes everything in the backend.
 *
 * @example
 * const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))
 * for (const { name, group, run } of conformance) {
 *   if (group !== 'counters') continue
 *   await run({ store: referenceStore(), wait }).catch((error) => console.error(name, error))
 * }
 */
export const conformance: readonly ConformanceCase[] = [
  ...read,
  ...write,
  ...atomic,
  ...counters,
  ...lifetimes,
  ...expiry,
  ...remainingTtl,
  ...keys,
  ...values,
  ...buffers,
  ...batches,
  ...limits,
  ...scan,
  ...clear,
  ...lifecycle,
  ...errors,
  ...order,
  ...sharing,
  ...outage,
  ...facade,
  ...ttl,
  ...remember,
  ...leases,
  ...staleValues,
  ...parts,
  ...tags,
  ...changes,
  ...locks,
  ...rateLimits,
  ...corrupt,
  ...codecCases,
]

/**
 * The version of the contract that the rules describe. It is raised when a rule is added or changed, or when a store needs
 * another member: a store that passed an earlier version may then fail. `conform` names it in the output of the runner.
 *
 * @example
 * console.log(`tested against version ${contractVersion} of the contract`)
 */
export const contractVersion = 2

/** The `test` function of `node:test`, Vitest, Mocha and similar runners. */
export type TestFunction = (name: string, run: () => Promise<void>) => unknown

export interface ConformanceOptions extends Omit<ConformanceContext, 'store' | 'createStore'> {
  /** Groups to run. @default all */
  readonly groups?: readonly ConformanceGroup[] | undefined
  /**
   * Defines a test that runs at the same time as others, such as `test.concurrent` of Vitest. Cases on a server spend
   * most of their time waiting for a ttl. The groups `clear` and `outage`, which affect every key of the backend, follow
   * one after another.
   * @default the function `test`
   */
  readonly concurrent?: TestFunction | undefined
}

/** The groups that affect every key of the backend. */
const exclusive: ReadonlySet<ConformanceGroup> = new Set(['clear', 'outage'])

/**
 * Defines one test for each rule of the contract, and one whose name contains {@link contractVersion}.
 *
 * @param test defines a test in the runner
 * @param createStore creates a store for one case, which closes it at its end; all stores may share one server.
 *   Some cases create a second one
 *
 * @example
 * import { test } from 'node:test'
 * import { setTimeout } from 'node:timers/promises'
 *
 * conform(test, () => redis({ url: 'redis://127.0.0.1:6379' }), { wait: async (ms) => setTimeout(ms) })
 *
 * const clock = new ManualClock()
 * conform(test, () => memory({ clock }), { wait: (ms) => clock.advance(ms), exact: true })
 */
export function conform(
  test: TestFunction,
  createStore: () => Awaitable<CacheStore>,
  options: ConformanceOptions,
): void {
  const { groups, concurrent = test, ...context } = options
  const chosen = conformance.filter(({ group }) => {
    if (group === 'outage' && options.breakBackend === undefined) return false
    return groups === undefined || groups.includes(group)
  })
  const define = (one: TestFunction, { name, group, run }: ConformanceCase) =>
    one(`${group}: ${name}`, async () => {
      const store = await createStore()
      try {
        await run({ ...context, createStore, store })
      } finally {
        await store.close()
      }
    })
  // Holds always: the report of the runner states what the others were compared with.
  if (groups === undefined) test(`contract: version ${contractVersion}`, async () => {})
  const of = (group: ConformanceGroup) => chosen.filter((each) => each.group === group)
  // Before the others, which leave items behind that a clear would have to delete.
  for (const each of of('clear')) define(test, each)
  for (const each of chosen) if (!exclusive.has(each.group)) define(concurrent, each)
  for (const each of of('outage')) define(test, each)
}
