/**
 * A Markdown table. The first column is text; the others are aligned to the right.
 *
 * @param {{ titles: string[], lines: string[][] }} cells
 * @param {number[]} strong columns in bold
 */
export function markdownTable({ titles, lines }, strong) {
  const isText = (column) => lines.every((line) => !/^[\d.-]/.test(line[column]))
  const rules = titles.map((_, column) => (column === 0 || isText(column) ? '---' : '--:'))
  const body = lines.map((line) =>
    line.map((text, column) => (strong.includes(column) ? `**${text}**` : text)),
  )
  return [titles, rules, ...body].map((line) => `| ${line.join(' | ')} |`).join('\n')
}
