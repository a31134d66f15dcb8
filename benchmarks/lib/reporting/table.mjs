const ratioColumns = [
  { title: 'workload', cell: ({ id }) => id },
  { title: 'contestant', cell: ({ contestant }) => contestant },
  { title: 'ops/s', of: 'opsPerSecond' },
  { title: 'ratio to raw (min-max)', of: 'ratioToRaw' },
  { title: 'to raw-json (min-max)', of: 'ratioToRawJson' },
  { title: 'p50 µs', of: 'p50Micros' },
  { title: 'p99 µs', of: 'p99Micros' },
  { title: 'p99 to raw (min-max)', of: 'p99ToRaw' },
  { title: 'CPU µs/op', of: 'cpuMicrosPerOp' },
  { title: 'CPU to raw (min-max)', of: 'cpuToRaw' },
  { title: 'commands/op', of: 'commandsPerOp' },
]

/** The rows as aligned text, grouped by workload. Omits columns without figures. The first two columns are names. */
export function table(rows, columns = ratioColumns) {
  const used = columns.filter(({ of }) => !of || rows.some((row) => row[of] !== undefined))
  const cells = rows.map((row) => used.map(({ cell, of }) => cell?.(row) ?? figure(row[of])))
  const isNewWorkload = rows.map(({ id }, i) => i > 0 && id !== rows[i - 1].id)
  const [title, ...lines] = aligned([used.map(({ title }) => title), ...cells], 2)
  return [title, ...lines.map((line, i) => (isNewWorkload[i] ? `\n${line}` : line))].join('\n')
}

/** Only the ratios to `raw`: one line per workload, one column per contestant. */
export function summary(rows) {
  const contestants = new Set(rows.map(({ contestant }) => contestant))
  const names = [...contestants].filter((name) => name !== 'raw')
  if (names.length === 0) return ''
  const ids = [...new Set(rows.map(({ id }) => id))]
  const ratioOf = (id, name) =>
    rows.find((row) => row.id === id && row.contestant === name).ratioToRaw?.median
  const lines = ids.map((id) => [id, ...names.map((name) => figure(ratioOf(id, name)))])
  return aligned([['ratio to raw', ...names], ...lines], 1).join('\n')
}

/** Aligns the first `names` columns to the left, and the figures to the right. */
function aligned(lines, names) {
  const widths = lines[0].map((_, i) => Math.max(...lines.map((line) => line[i].length)))
  return lines.map((line) =>
    line
      .map((cell, i) => (i < names ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join('  '),
  )
}

function figure(number) {
  if (number === undefined) return '-'
  if (typeof number === 'object') return spread(number)
  if (number >= 1e6) return `${(number / 1e6).toFixed(2)} M`
  if (number >= 1e4) return `${(number / 1e3).toFixed(1)} k`
  if (number >= 100) return number.toFixed(0)
  return number >= 10 ? number.toFixed(1) : twoDigits(number)
}

function spread(ratio) {
  const [median, min, max] = [ratio.median, ratio.min, ratio.max].map(twoDigits)
  return `${median} (${min}-${max})`
}

function twoDigits(number) {
  return number >= 0.1 ? number.toFixed(2) : number.toPrecision(2)
}
