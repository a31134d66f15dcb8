// Runs groups of benchmarks: node benchmarks/run.mjs [group …] [--quick] [--peers] [--json FILE]
import { writeFile } from 'node:fs/promises'
import { cpus, loadavg } from 'node:os'
import { main } from '../scripts/lib/cli.mjs'
import { readArguments } from './lib/arguments.mjs'
import { exitOnSignals } from './lib/cleanup.mjs'
import { canPlace } from './lib/cpus.mjs'
import { runGroup } from './lib/rounds.mjs'
import { rowsOf } from './lib/rows.mjs'
import { summary, table } from './lib/table.mjs'
import { verdict } from './lib/targets.mjs'

const unplaced =
  'Who ran on which CPU was left to the scheduler (no taskset, or one CPU): do not trust x1.'

await main(async () => {
  const { groups, json, ...mode } = await readArguments(process.argv.slice(2))
  exitOnSignals()
  const rows = []
  for (const group of groups) rows.push(...(await measured(group, mode)))
  if (json !== undefined) await writeFile(json, `${JSON.stringify({ rows }, undefined, 2)}\n`)
  console.log(`\nTotal: ${secondsSince(0)} s`)
})

async function measured(group, mode) {
  const start = performance.now()
  const load = `load before ${loadavg()[0].toFixed(1)} on ${cpus().length} CPUs`
  const rounds = await runGroup(group, mode)
  const rows = rowsOf(group, rounds, mode)
  console.log(`\n${group.name}, ${rounds.length} rounds, ${secondsSince(start)} s, ${load}\n`)
  const parts = [table(rows), summary(rows), verdict(rows, group, mode)]
  console.log(parts.filter(Boolean).join('\n\n'))
  if (group.server && !canPlace) console.log(`\n${unplaced}`)
  return rows
}

function secondsSince(start) {
  return ((performance.now() - start) / 1000).toFixed(1)
}
