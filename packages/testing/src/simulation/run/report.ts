import type { Failure } from './simulate.ts'

/** The report of a failure for people: what is wrong, what happened, and how to see it again. */
export function report({ scenario, problem, plan, trace, seed }: Failure): string {
  const { calls, faults, traits, isFaultless } = plan
  return [
    `✗ ${scenario}, seed ${seed}: ${problem}`,
    '',
    `${calls.length} calls, ${isFaultless ? 'no faults' : `${faults.length} faults`}, backend ${JSON.stringify(traits)}`,
    '',
    trace,
    '',
    `npm run simulate -- ${scenario} --replay ${seed}`,
  ].join('\n')
}
