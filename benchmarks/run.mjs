// Runs groups of benchmarks: node benchmarks/run.mjs [group …] [--quick] [--peers] [--json FILE]
import { writeFile } from 'node:fs/promises'
import { cpus, loadavg } from 'node:os'
import { main } from '../scripts/lib/cli.mjs'
import { readArguments } from './lib/arguments.mjs'
import { rowsOf } from './lib/reporting/rows.mjs'
import { summary, table } from './lib/reporting/table.mjs'
import { targetSummary } from './lib/reporting/targets.mjs'
import { exitOnSignals } from './lib/running/child-processes.mjs'
import { canPin } from './lib/running/cpus.mjs'
import { runGroup } from './lib/running/rounds.mjs'

const pinningWarning =
  'Processes were not pinned to CPUs (needs Linux, taskset and two CPUs). Do not rely on the figures of one call in flight (x1).'

await main(async () => {
  const { groups, json, ...options } = await readArguments(process.argv.slice(2))
  exitOnSignals()
  const rows = []
  for (const group of groups) rows.push(...(await measure(group, options)))
  if (json !== undefined) await writeFile(json, `${JSON.stringify({ rows }, undefined, 2)}\n`)
  console.log(`\nTotal: ${secondsSince(0)} s`)
})

/** Runs a group, prints its results and returns its rows. */
async function measure(group, options) {
  const start = performance.now()
  const load = `load before ${loadavg()[0].toFixed(1)} on ${cpus().length} CPUs`
  const { rounds, rows, sections } = await (group.run ?? compareToRaw)(group, options)
  console.log(`\n${group.name}, ${rounds} rounds, ${secondsSince(start)} s, ${load}\n`)
  console.log(sections.filter(Boolean).join('\n\n'))
  if (group.server && !canPin) console.log(`\n${pinningWarning}`)
  return rows
}

/** Most groups compare the operations per second of the contestants with those of `raw`. */
async function compareToRaw(group, options) {
  const rounds = await runGroup(group, options)
  const rows = rowsOf(group, rounds, options)
  const sections = [table(rows), summary(rows), targetSummary(rows, group, options)]
  return { rounds: rounds.length, rows, sections }
}

/** `start` is a result of `performance.now()`, or 0 for the start of this process. */
function secondsSince(start) {
  return ((performance.now() - start) / 1000).toFixed(1)
}
