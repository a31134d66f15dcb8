import { figure } from './columns.mjs'
import { slowerCells } from './comparison.mjs'
import { groupTexts } from './group-texts.mjs'
import { machineText } from './machine-text.mjs'
import { markdownTable } from './markdown-table.mjs'
import { newestOf } from './results.mjs'

/**
 * The Markdown of docs/side-by-side.md: a line per group, and the workloads in which another contestant is faster.
 *
 * @param {Map<string, object>} results see {@link storedResults}
 */
export function sideBySidePage(results) {
  const compared = Object.keys(groupTexts)
    .filter((name) => results.get(name)?.rows[0].ratioToRaw !== undefined)
    .map((name) => results.get(name))
  return `# Side by side

<!-- Written by: node scripts/write-benchmarks.mjs, from benchmarks/results -->

Look up how fast Stowage is on your workload, and where another library is faster. All were measured in the same run on the
same machine: ${machineText(newestOf(results))}

A ratio is the number of operations per second relative to \`raw\`, which is what an application would write by hand: above 1
is faster. Differences below 0.1 are not significant. [Results](../benchmarks/results.md) has all figures,
[Benchmarks](../benchmarks/README.md) the method and the contestants. To repeat a group:
\`npm run bench -- redis --quick --peers\`.

${groupTable(compared)}

${linkOf('stampede')} counts the loads of several processes, ${linkOf('eviction')} compares hit ratios.

## Where another contestant is faster

\`x32\` means 32 calls in flight.

${slowerTable(compared)}
`
}

function groupTable(results) {
  const lines = results.map(({ group, rows }) => {
    const own = rows.filter(({ contestant, ratioToRaw }) => contestant === 'stowage' && ratioToRaw)
    const ratios = own.map(({ ratioToRaw }) => ratioToRaw.median)
    const range = [Math.min(...ratios), Math.max(...ratios)].map(figure)
    const fastest = own.length - slowerCells(rows).length
    return [linkOf(group), groupTexts[group][2], range.join(' to '), `${fastest} of ${own.length}`]
  })
  const titles = ['group', '`raw`', 'ratio of Stowage', 'fastest in']
  return markdownTable({ titles, lines }, [])
}

function slowerTable(results) {
  const lines = results.flatMap(({ group, rows }) =>
    slowerCells(rows).map(({ id, own, other }) => [
      linkOf(group),
      id,
      figure(own.ratioToRaw.median),
      `${other.contestant} ${figure(other.ratioToRaw.median)}`,
    ]),
  )
  const titles = ['group', 'workload', 'Stowage', 'faster']
  return lines.length === 0 ? 'In no workload.' : markdownTable({ titles, lines }, [2])
}

function linkOf(group) {
  const [title] = groupTexts[group]
  const hash = title
    .toLowerCase()
    .replaceAll(/[^\w\s-]/g, '')
    .replaceAll(/\s/g, '-')
  return `[${title}](../benchmarks/results.md#${hash})`
}
