import fc from 'fast-check'
import type { Scenario } from '../scenarios/scenario.ts'
import { hashOf } from '../world/random.ts'
import { type Plan, type PlanOptions, plans } from './plan.ts'
import { type Parts, runPlan } from './run-plan.ts'

export interface SimulateOptions {
  /** First seed. @default 0 */
  readonly seed?: number | undefined
  /** Number of seeds. @default 100 */
  readonly seeds?: number | undefined
  /** @default 3 */
  readonly processes?: number | undefined
  /** Maximum number of calls of a run, of all processes together. @default 60 */
  readonly maxCalls?: number | undefined
  /** @default 1 */
  readonly minCalls?: number | undefined
  /** Whether to leave out all faults. @default in a quarter of the runs */
  readonly isFaultless?: boolean | undefined
  /** Longest time for shrinking a failure, in milliseconds. @default 20 000 */
  readonly shrinkMs?: number | undefined
  /** Parts to replace by defective ones. */
  readonly parts?: Parts | undefined
  /** Called after each seed. */
  readonly onProgress?: ((seedsDone: number) => void) | undefined
}

/** A seed whose run broke a rule. */
export interface Failure {
  readonly scenario: string
  /** The seed, and after a colon the path of the shrunk plan. */
  readonly replay: string
  readonly seed: number
  readonly problem: string
  /** The plan with the fewest calls and faults that was found. */
  readonly plan: Plan
  readonly trace: string
}

class ProblemFound extends Error {}

/**
 * Runs a scenario with many seeds. Resolves to the first failure, shrunk, or to `undefined`.
 *
 * @example
 * const failure = await simulate(scenarios.facade, { seeds: 20 })
 * console.log(failure === undefined ? 'no finding' : report(failure))
 */
export async function simulate<Call>(
  scenario: Scenario<Call>,
  options: SimulateOptions = {},
): Promise<Failure | undefined> {
  const { seed = 0, seeds = 100 } = options
  for (let done = 0; done < seeds; done++) {
    const failure = await simulateSeed(scenario, `${seed + done}`, options)
    if (failure !== undefined) return failure
    options.onProgress?.(done + 1)
  }
  return undefined
}

/** Runs one seed, or the shrunk plan of a failure: `seed:path`. */
export async function simulateSeed<Call>(
  scenario: Scenario<Call>,
  replay: string,
  options: SimulateOptions = {},
): Promise<Failure | undefined> {
  const { parts = {}, shrinkMs = 20_000 } = options
  const [seedText = '0', ...path] = replay.split(':')
  const seed = Number(seedText)
  const property = fc.asyncProperty(plans(scenario, planOptions(options)), async (plan) => {
    const { problem } = await runPlan(scenario, plan, { parts })
    if (problem !== undefined) throw new ProblemFound(problem)
  })
  const details = await fc.check(property, {
    seed: hashOf(seed, scenario.name) | 0,
    numRuns: 1,
    interruptAfterTimeLimit: shrinkMs,
    ...(path.length > 0 ? { path: path.join(':') } : {}),
  })
  if (!details.failed || details.counterexample === null) return undefined
  const [plan] = details.counterexample
  const { problem, trace } = await runPlan(scenario, plan, { parts, isTraced: true })
  return {
    scenario: scenario.name,
    replay: `${seed}`,
    seed,
    problem: problem ?? String(details.errorInstance),
    plan,
    trace: String(trace),
  }
}

export function planOptions(options: SimulateOptions): PlanOptions {
  const { processes = 3, maxCalls = 60, minCalls, isFaultless } = options
  return { processes, maxCalls, minCalls, isFaultless }
}
