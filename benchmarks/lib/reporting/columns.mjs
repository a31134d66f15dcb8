/** Columns of groups that compare operations per second with those of `raw`. `of` names a figure of the row. */
export const ratioColumns = [
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

/** Columns of the group `stampede`. */
export const stampedeColumns = [
  { title: 'workload', cell: ({ id }) => id },
  { title: 'contestant', cell: ({ contestant }) => contestant },
  { title: 'loads', cell: ({ loads }) => loads ?? '-' },
  { title: 'p50 ms', of: 'p50Ms' },
  { title: 'p99 ms', of: 'p99Ms' },
  { title: 'slowest ms', of: 'maxMs' },
  { title: 'commands', of: 'commands' },
]

/**
 * The titles of the columns, and a line of cells for each row. Omits columns without figures. The first two columns are
 * names.
 */
export function tableCells(rows, columns) {
  const used = columns.filter(({ of }) => !of || rows.some((row) => row[of] !== undefined))
  const lines = rows.map((row) => used.map(({ cell, of }) => cell?.(row) ?? figure(row[of])))
  return { titles: used.map(({ title }) => title), lines }
}

/** Only the ratios to `raw`: one line per workload, one column per contestant. `undefined` if there is no other. */
export function ratioCells(rows) {
  const contestants = new Set(rows.map(({ contestant }) => contestant))
  const names = [...contestants].filter((name) => name !== 'raw')
  if (names.length === 0) return undefined
  const ids = [...new Set(rows.map(({ id }) => id))]
  const ratioOf = (id, name) =>
    rows.find((row) => row.id === id && row.contestant === name).ratioToRaw?.median
  const lines = ids.map((id) => [id, ...names.map((name) => figure(ratioOf(id, name)))])
  return { titles: ['ratio to raw', ...names], lines }
}

/** The hits and the CPU time per read of eviction policies: one line per trace and capacity. */
export function evictionCells(rows) {
  const names = rows[0].results.map(({ name }) => name)
  const cell = ({ hitPercent, nsPerRead }) =>
    `${hitPercent.toFixed(1)} % ${nsPerRead.toFixed(0)} ns`
  const lines = rows.map(({ trace, capacity, results }) => [trace, capacity, ...results.map(cell)])
  return { titles: ['trace', 'capacity', ...names], lines }
}

/** A figure with about three digits; `-` if it is missing. */
export function figure(number) {
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
