import fc from 'fast-check'
import type { Scenario } from '../programs/scenario.ts'
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
  /** Maximum number of calls of a run, of all processes together. @default that of the scenario */
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
  readonly seed: number
  /** The options of the run, other than the defaults. */
  readonly options?: Pick<SimulateOptions, 'processes' | 'minCalls' | 'maxCalls' | 'isFaultless'>
  readonly problem: string
  /** The plan with the fewest calls and faults that was found. */
  readonly plan: Plan
  readonly trace: string
}

/**
 * Runs a scenario with many seeds. Resolves to the first failure, shrunk, or to `undefined`.
 *
 * @example
 * const failure = await simulate(facade, { seeds: 20 })
 * if (failure !== undefined) throw new Error(report(failure))
 */
export async function simulate<Call>(
  scenario: Scenario<Call>,
  options: SimulateOptions = {},
): Promise<Failure | undefined> {
  const { seed = 0, seeds = 100 } = options
  for (let done = 0; done < seeds; done++) {
    const failure = await simulateSeed(scenario, seed + done, options)
    if (failure !== undefined) return failure
    options.onProgress?.(done + 1)
  }
  return undefined
}

/** Runs one seed. Resolves to its failure, shrunk, or to `undefined`. */
export async function simulateSeed<Call>(
  scenario: Scenario<Call>,
  seed: number,
  options: SimulateOptions = {},
): Promise<Failure | undefined> {
  const { parts = {} } = options
  const first = planOf(scenario, seed, options)
  const { problem } = await runPlan(scenario, first, { parts })
  if (problem === undefined) return undefined
  const plan = await shrink(scenario, seed, options)
  const result = await runPlan(scenario, plan ?? first, { parts, isTraced: true })
  return {
    scenario: scenario.name,
    seed,
    options: replayOptions(options),
    problem: result.problem ?? problem,
    plan: plan ?? first,
    trace: String(result.trace),
  }
}

/** The plan of a seed, the same on every machine. */
export function planOf<Call>(
  scenario: Scenario<Call>,
  seed: number,
  options: SimulateOptions = {},
): Plan<Call> {
  const parameters = { seed: fastCheckSeed(scenario, seed), numRuns: 1 }
  return fc.sample(plans(scenario, planOptions(scenario, options)), parameters)[0] as Plan<Call>
}

function replayOptions({ processes, minCalls, maxCalls, isFaultless }: SimulateOptions) {
  return {
    ...(processes !== undefined && { processes }),
    ...(minCalls !== undefined && { minCalls }),
    ...(maxCalls !== undefined && { maxCalls }),
    ...(isFaultless !== undefined && { isFaultless }),
  }
}

/** Finds a plan that fails with fewer calls and faults. */
async function shrink<Call>(
  scenario: Scenario<Call>,
  seed: number,
  options: SimulateOptions,
): Promise<Plan<Call> | undefined> {
  const { parts = {}, shrinkMs = 20_000 } = options
  const property = fc.asyncProperty(
    plans(scenario, planOptions(scenario, options)),
    async (plan) => {
      const { problem } = await runPlan(scenario, plan, { parts })
      if (problem !== undefined) throw new Error(problem)
    },
  )
  const { counterexample } = await fc.check(property, {
    seed: fastCheckSeed(scenario, seed),
    numRuns: 1,
    interruptAfterTimeLimit: shrinkMs,
  })
  return counterexample?.[0]
}

/** Seeds in a row give unrelated plans, and so do scenarios. */
function fastCheckSeed({ name }: { readonly name: string }, seed: number): number {
  return hashOf(seed, name) | 0
}

function planOptions(scenario: Pick<Scenario, 'maxCalls'>, options: SimulateOptions): PlanOptions {
  const { processes = 3, maxCalls = scenario.maxCalls ?? 60, minCalls, isFaultless } = options
  return { processes, maxCalls, minCalls, isFaultless }
}

/**
 * The report of a failure for people: what is wrong, what happened, and how to see it again.
 *
 * @param replay how to run the seed again. @default the call of `simulate`
 */
export function report(failure: Failure, replay: string = callOf(failure)): string {
  const { scenario, problem, plan, trace, seed } = failure
  const { calls, faults, traits, isFaultless } = plan
  return [
    `✗ ${scenario}, seed ${seed}: ${problem}`,
    '',
    `${calls.length} calls, ${isFaultless ? 'no faults' : `${faults.length} faults`}, backend ${JSON.stringify(traits)}`,
    '',
    trace,
    '',
    replay,
  ].join('\n')
}

function callOf({ scenario, seed, options }: Failure): string {
  const members = Object.entries({ seed, seeds: 1, ...options })
  const text = members.map(([name, value]) => `${name}: ${value}`).join(', ')
  return `simulate(/* ${scenario} */, { ${text} })`
}
