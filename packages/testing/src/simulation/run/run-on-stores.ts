import { Cache, failover, memo, systemClock } from '@stowage/core'
import { type ByteStore, withKeyOrder } from '@stowage/core/driver'
import { allowShortTtls } from '@stowage/core/internal'
import { defaultTraits } from '../backend/backend.ts'
import type { History } from '../programs/history.ts'
import type { Program, Scenario } from '../programs/scenario.ts'
import { CallRecorder, type Timeline } from './call-recorder.ts'
import type { Plan } from './plan.ts'

/**
 * Makes the calls of a plan on a real backend, in real time and without faults, and judges the history. Each store stands
 * for a process. Resolves to what is wrong, if anything.
 *
 * @param prefix of the keys, different for each plan
 * @example
 * const stores = [memory(), memory()]
 * const plan = planOf(facade, 1, { processes: 2 })
 * console.log(await runOnStores(facade, plan, stores, 'plan1:'))
 */
export async function runOnStores<Call>(
  scenario: Scenario<Call>,
  plan: Plan<Call>,
  stores: readonly ByteStore[],
  prefix: string,
): Promise<string | undefined> {
  allowShortTtls()
  const timeline = new RealTime()
  const recorder = new CallRecorder<Call>(timeline, [])
  const shared = new Map<string, unknown>()
  const endings: (() => void)[] = []
  const { scan, limits } = stores[0] as ByteStore
  const traits = {
    ...defaultTraits,
    scan: scan !== undefined,
    ttlStep: limits.ttlStep,
    ordered: false,
  }
  const programs = stores.map((store, index) =>
    scenario.start({
      name: `p${index + 1}`,
      prefix,
      store,
      clock: systemClock,
      traits,
      Cache,
      withKeyOrder,
      failover,
      memo,
      shared,
      nextOrder: () => timeline.nextOrder(),
      now: () => timeline.now,
      onEnd: (work) => void endings.push(work),
    }),
  )
  const make = async (index: number, call: Call) => {
    const program = programs[index] as Program<Call>
    const process = { name: `p${index + 1}`, isKilled: false }
    const cause = { luck: 0, messages: 0, isDisturbed: false }
    await recorder.run(process, cause, call, () => program.run(call))
  }
  await Promise.all(
    plan.calls.map(async ({ at, process, call }) => {
      await systemClock.sleep(at)
      await make(process % stores.length, call)
    }),
  )
  for (const call of scenario.lastCalls ?? []) {
    await Promise.all(programs.map((_, index) => make(index, call)))
  }
  for (const end of endings) end()
  const entries = recorder.finish()
  const failed = entries.find((entry) => isStoreFailure(entry.outcome))
  if (failed?.outcome?.status === 'rejected')
    return `${JSON.stringify(failed.call)} failed: ${String(failed.outcome.error)}`
  const none = { losses: [], nodeChanges: [], clockSteps: [], requests: [], killed: [] }
  const history: History<Call> = { entries, isFaultless: true, isRealTime: true, ...none }
  return (
    recorder.problem((error) => scenario.isExpectedError?.(error) === true) ??
    scenario.judge(history, { traits, shared })
  )
}

class RealTime implements Timeline {
  readonly #start = performance.now()
  #order = 0

  get now(): number {
    return performance.now() - this.#start
  }

  nextOrder(): number {
    return this.#order++
  }
}

/** Other than a call of `remember` whose own timeout has passed. */
function isStoreFailure(outcome: History['entries'][number]['outcome']): boolean {
  if (outcome?.status !== 'rejected') return false
  const { code, operation } = outcome.error as { code?: unknown; operation?: unknown }
  return operation !== 'remember' && /UNAVAILABLE|TIMEOUT|REJECTED/.test(String(code))
}
