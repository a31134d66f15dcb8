/** The rows as aligned text, workload by workload. */
export function table(rows, group) {
  const columns = columnsOf(rows, group)
  const lines = [
    columns.map(({ title }) => title),
    ...rows.map((row) => columns.map((c) => c.cell(row))),
  ]
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i].length)))
  return lines
    .map((line, i) => (opensWorkload(rows, i - 1) ? '\n' : '') + aligned(line, widths))
    .join('\n')
}

function columnsOf(rows, group) {
  const columns = [
    { title: 'workload', cell: ({ workload, inFlight }) => `${workload} x${inFlight}` },
    { title: 'contestant', cell: ({ contestant }) => contestant },
    { title: 'ops/s', cell: ({ opsPerSecond }) => short(opsPerSecond) },
    { title: 'ratio to raw (min-max)', cell: (row) => spread(row.ratioToRaw) },
    { title: 'to raw-json (min-max)', cell: (row) => spread(row.ratioToRawJson) },
    { title: 'CPU µs/op', cell: ({ cpuMicrosPerOp }) => short(cpuMicrosPerOp) },
    { title: 'commands/op', cell: ({ commandsPerOp }) => short(commandsPerOp) },
  ]
  const none = [!group.comparedToRawJson && 4, rows.every((row) => row.commandsPerOp === null) && 6]
  return columns.filter((_, i) => !none.includes(i))
}

function opensWorkload(rows, i) {
  const [row, before] = [rows[i], rows[i - 1]]
  return (
    before !== undefined &&
    `${row.workload} ${row.inFlight}` !== `${before.workload} ${before.inFlight}`
  )
}

/** Names to the left, figures to the right. */
function aligned(cells, widths) {
  return cells
    .map((cell, i) => (i < 2 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
    .join('  ')
}

function spread(ratio) {
  if (ratio === undefined) return ''
  const [median, min, max] = [ratio.median, ratio.min, ratio.max].map(twoDigits)
  return `${median} (${min}-${max})`
}

function short(number) {
  if (number === null) return '-'
  if (number >= 1e6) return `${(number / 1e6).toFixed(2)} M`
  if (number >= 1e4) return `${(number / 1e3).toFixed(1)} k`
  if (number >= 100) return number.toFixed(0)
  return number >= 10 ? number.toFixed(1) : twoDigits(number)
}

function twoDigits(number) {
  return number >= 0.1 ? number.toFixed(2) : number.toPrecision(2)
}
