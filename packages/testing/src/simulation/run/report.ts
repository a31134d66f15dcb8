import { scenarios } from '../scenarios/index.ts'
import type { Failure } from './simulate.ts'

/** The report of a failure for people: what is wrong, what happened, and how to see it again. */
export function report({ scenario, problem, plan, trace, seed, options }: Failure): string {
  const { calls, faults, traits, isFaultless } = plan
  return [
    `✗ ${scenario}, seed ${seed}: ${problem}`,
    '',
    `${calls.length} calls, ${isFaultless ? 'no faults' : `${faults.length} faults`}, backend ${JSON.stringify(traits)}`,
    '',
    trace,
    '',
    replayOf(scenario, seed, options),
  ].join('\n')
}

/** The command that runs the seed again. It has only the scenarios of this package; others are run by their own program. */
function replayOf(scenario: string, seed: number, options: Failure['options']): string {
  const isKnown = Object.values(scenarios).some(({ name }) => name === scenario)
  if (isKnown) return `npm run simulate -- ${scenario} --replay ${seed}${flagsOf(options)}`
  const members = Object.entries({ seed, seeds: 1, ...options })
  const text = members.map(([name, value]) => `${name}: ${value}`).join(', ')
  return `simulate(/* ${scenario} */, { ${text} })`
}

/** The options of `npm run simulate` with which the seed gives the same run. */
function flagsOf({ processes, minCalls, maxCalls, isFaultless }: Failure['options'] = {}): string {
  const flags = [
    processes === undefined ? '' : ` --processes ${processes}`,
    maxCalls === undefined ? '' : ` --calls ${maxCalls}`,
    minCalls === undefined ? '' : ` --min-calls ${minCalls}`,
    isFaultless === true ? ' --faultless' : '',
  ]
  return flags.join('')
}
