import type { Failure } from './simulate.ts'

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
