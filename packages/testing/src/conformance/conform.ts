import type { Awaitable, CacheStore } from '@stowage/core'
import { atomic } from './atomic.ts'
import { batches } from './batches.ts'
import type { ConformanceCase, ConformanceGroup } from './case.ts'
import { clear } from './clear.ts'
import type { ConformanceContext } from './context.ts'
import { corruption } from './corrupt.ts'
import { counters } from './counters.ts'
import { errors } from './errors.ts'
import { expiry } from './expiry.ts'
import { facade } from './facade.ts'
import { keys } from './keys.ts'
import { lifecycle } from './lifecycle.ts'
import { limits } from './limits.ts'
import { read } from './read.ts'
import { remember } from './remember.ts'
import { scan } from './scan.ts'
import { ttl } from './ttl.ts'
import { values } from './values.ts'
import { write } from './write.ts'

/**
 * The rules of the contract, as data: for a runner that wants to choose. Each case gets a fresh store and
 * uses keys of its own; only those of the group `clear` empty the whole backend.
 */
export const conformance: readonly ConformanceCase[] = [
  ...read,
  ...write,
  ...atomic,
  ...counters,
  ...expiry,
  ...keys,
  ...values,
  ...batches,
  ...limits,
  ...scan,
  ...clear,
  ...lifecycle,
  ...errors,
  ...facade,
  ...ttl,
  ...remember,
  ...corruption,
]

/** The `test` of `node:test`, Vitest, Mocha and their like. */
export type TestFunction = (name: string, run: () => Promise<void>) => unknown

export interface ConformanceOptions extends Omit<ConformanceContext, 'store'> {
  /** Which groups to run. @default all */
  readonly groups?: readonly ConformanceGroup[] | undefined
}

/**
 * Defines one test per rule of the contract for a store.
 *
 *     conform(test, () => memory(), { wait: (ms) => setTimeout(ms) })
 *
 * @param test defines a test in the runner
 * @param createStore makes a store for one case, which closes it; all may share one server
 */
export function conform(
  test: TestFunction,
  createStore: () => Awaitable<CacheStore>,
  options: ConformanceOptions,
): void {
  const { groups, ...context } = options
  for (const each of conformance) {
    if (groups !== undefined && !groups.includes(each.group)) continue
    test(`${each.group}: ${each.name}`, async () => {
      const store = await createStore()
      try {
        await each.run({ ...context, store })
      } finally {
        await store.close()
      }
    })
  }
}
