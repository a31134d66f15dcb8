// Runs groups of benchmarks: node benchmarks/run.mjs [group …] [--quick] [--peers] [--json FILE]
import { writeFile } from 'node:fs/promises'
import { main } from '../scripts/lib/progress.mjs'
import { readArguments } from './lib/arguments.mjs'
import { exitOnSignals } from './lib/cleanup.mjs'
import { runGroup } from './lib/rounds.mjs'
import { rowsOf } from './lib/rows.mjs'
import { table } from './lib/table.mjs'

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
  const { rounds, gaps } = await runGroup(group, mode)
  const rows = rowsOf(group, rounds)
  console.log(`\n${group.name}, ${rounds.length} rounds, ${secondsSince(start)} s\n`)
  console.log(table(rows, group))
  for (const gap of gaps) console.log(`- ${gap}`)
  return rows
}

function secondsSince(start) {
  return ((performance.now() - start) / 1000).toFixed(1)
}
