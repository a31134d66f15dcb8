/** The command that runs the seed of a failure again, with the options that give the same run. */
export function replayOf({
  scenario,
  seed,
  options: { processes, minCalls, maxCalls, isFaultless } = {},
}) {
  return [
    `npm run simulate -- ${scenario} --replay ${seed}`,
    processes === undefined ? '' : ` --processes ${processes}`,
    maxCalls === undefined ? '' : ` --calls ${maxCalls}`,
    minCalls === undefined ? '' : ` --min-calls ${minCalls}`,
    isFaultless === true ? ' --faultless' : '',
  ].join('')
}
