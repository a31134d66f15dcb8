import { ratioCells, ratioColumns, tableCells } from './columns.mjs'

/** The rows as aligned text, grouped by workload. */
export function table(rows, columns = ratioColumns) {
  const { titles, lines } = tableCells(rows, columns)
  const isNewWorkload = rows.map(({ id }, i) => i > 0 && id !== rows[i - 1].id)
  const [title, ...texts] = aligned([titles, ...lines], 2)
  return [title, ...texts.map((line, i) => (isNewWorkload[i] ? `\n${line}` : line))].join('\n')
}

/** Only the ratios to `raw`, as aligned text. */
export function summary(rows) {
  const cells = ratioCells(rows)
  return cells === undefined ? '' : aligned([cells.titles, ...cells.lines], 1).join('\n')
}

/** Aligns the first `names` columns to the left, and the figures to the right. */
export function aligned(lines, names) {
  const widths = lines[0].map((_, i) => Math.max(...lines.map((line) => line[i].length)))
  return lines.map((line) =>
    line
      .map((cell, i) => (i < names ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join('  '),
  )
}
