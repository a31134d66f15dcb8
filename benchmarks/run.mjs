// Runs groups of benchmarks: node benchmarks/run.mjs [group …] [--quick] [--peers] [--store] [--json FILE]
import { writeFile } from 'node:fs/promises'
import { cpus, loadavg } from 'node:os'
import { main } from '../scripts/lib/cli.mjs'
import { readArguments } from './lib/arguments.mjs'
import { writeBenchmarkDocuments } from './lib/reporting/documents.mjs'
import { storeResult } from './lib/reporting/results.mjs'
import { rowsOf } from './lib/reporting/rows.mjs'
import { summary, table } from './lib/reporting/table.mjs'
import { targetLines, targetsOfRows } from './lib/reporting/targets.mjs'
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

/** Runs a group, prints and stores its results, and returns its rows. */
async function measure(group, { store, ...options }) {
  const start = performance.now()
  const load = loadavg()[0]
  const result = await (group.run ?? compareToRaw)(group, options)
  const { rounds, rows, sections, targets } = result
  const seconds = secondsSince(start)
  const loadText = `load before ${load.toFixed(1)} on ${cpus().length} CPUs`
  console.log(`\n${group.name}, ${rounds} rounds, ${seconds} s, ${loadText}\n`)
  console.log([...sections, targetLines(targets)].filter(Boolean).join('\n\n'))
  if (group.server && !canPin) console.log(`\n${pinningWarning}`)
  const circumstances = { quick: options.quick, seconds: Number(seconds), load, pinned: canPin }
  if (!store) return rows
  storeResult({ group: group.name, rounds, ...circumstances, targets, rows })
  writeBenchmarkDocuments()
  return rows
}

/** Most groups compare the operations per second of the contestants with those of `raw`. */
async function compareToRaw(group, options) {
  const rounds = await runGroup(group, options)
  const rows = rowsOf(group, rounds, options)
  const targets = targetsOfRows(rows, group, options)
  return { rounds: rounds.length, rows, sections: [table(rows), summary(rows)], targets }
}

/** `start` is a result of `performance.now()`, or 0 for the start of this process. */
function secondsSince(start) {
  return ((performance.now() - start) / 1000).toFixed(1)
}
