import { evictionCells, ratioCells, ratioColumns, stampedeColumns, tableCells } from './columns.mjs'
import { groupTexts } from './group-texts.mjs'
import { machineText, wasBusy } from './machine-text.mjs'
import { markdownTable } from './markdown-table.mjs'
import { newestOf } from './results.mjs'

/**
 * The Markdown of benchmarks/results.md: every table of the stored results.
 *
 * @param {Map<string, object>} results see {@link storedResults}
 */
export function resultsPage(results) {
  const names = Object.keys(groupTexts).filter((name) => results.has(name))
  const newest = newestOf(results)
  return [
    introduction(newest),
    ...names.map((name) => groupSection(results.get(name), newest)),
    versionsSection(newest),
  ].join('\n\n')
}

function introduction(newest) {
  return `# Results of the benchmarks

<!-- Written by: node scripts/write-benchmarks.mjs, from benchmarks/results -->

All figures of the last run: ${machineText(newest)}

Operations per second relative to \`raw\`, which is what an application would write by hand: above 1 is faster. \`x32\` means
32 calls in flight. Below each table, a second one has all figures: median and range of the rounds, the duration of a call,
the CPU time of the client, and the commands that the server executes. [Benchmarks](README.md) describes the method and
every contestant. [Side by side](../docs/side-by-side.md) is a summary.`
}

function groupSection(result, newest) {
  const [title, text] = groupTexts[result.group]
  const parts = [`## ${title}`, text, measuredText(result, newest), ...tablesOf(result.rows)]
  return [...parts, ...targetsText(result.targets)].join('\n\n')
}

function measuredText(result, newest) {
  const { group, rounds, quick, load, pinned } = result
  const busy = wasBusy(result) ? ' **The machine was busy: the figures vary widely.**' : ''
  const pins = pinned ? '' : ' Processes were not pinned to CPUs.'
  const own = machineText(result) === machineText(newest) ? '' : ` ${machineText(result)}`
  const turns = quick ? ', short turns' : ''
  const count = `${rounds} ${rounds === 1 ? 'round' : 'rounds'}`
  return `\`${group}\`: ${count}${turns}, load before ${load.toFixed(1)}.${busy}${pins}${own}`
}

function tablesOf(rows) {
  if (rows[0].results !== undefined) return [markdownTable(evictionCells(rows), [])]
  if (rows[0].calls !== undefined) return [markdownTable(tableCells(rows, stampedeColumns), [2])]
  const details = markdownTable(tableCells(rows, ratioColumns), [])
  const all = `<details>\n<summary>All figures</summary>\n\n${details}\n\n</details>`
  const ratios = ratioCells(rows)
  return ratios === undefined ? [all] : [markdownTable(ratios, stowageColumns(ratios)), all]
}

function stowageColumns({ titles }) {
  return titles.flatMap((title, index) => (title === 'stowage' ? [index] : []))
}

function targetsText(targets) {
  if (targets.length === 0) return []
  const missed = targets.filter(({ reached }) => !reached)
  const lines = missed.map(({ id, description }) => `- ${id}: ${description}`)
  const count = `${targets.length - missed.length} of our ${targets.length} targets for this group are reached.`
  return missed.length === 0 ? [count] : [`${count} Missed:`, lines.join('\n')]
}

function versionsSection({ versions }) {
  const list = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  return `## Versions\n\n${list.join(', ')}.\n`
}
