import Table from 'cli-table3'

const gap = '  '
const noBorder = {
  ...{ top: '', 'top-mid': '', 'top-left': '', 'top-right': '' },
  ...{ bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '' },
  ...{ left: gap, 'left-mid': '', mid: '', 'mid-mid': '' },
  ...{ right: '', 'right-mid': '', middle: gap },
}

/** Returns a table without lines: columns are aligned, and indented by two characters. Empty columns are left out. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const used = head.map((_, column) => rows.some((row) => (row[column] ?? '') !== ''))
  const keep = (row: readonly string[]) => head.flatMap((_, i) => (used[i] ? [row[i] ?? ''] : []))
  const drawn = new Table({
    head: keep(head),
    chars: noBorder,
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [], compact: true },
  })
  drawn.push(...rows.map(keep))
  return drawn.toString().replace(/[ \t]+$/gm, '')
}

/** Returns pairs of a name and a value, aligned. Pairs without a value are left out. */
export function list(
  pairs: readonly (readonly [name: string, value: string | undefined])[],
): string {
  const shown = pairs.filter(([, value]) => value !== undefined && value !== '')
  return table(['', ''], shown as [string, string][])
    .split('\n')
    .filter((line) => line.trim() !== '')
    .join('\n')
}

/** Wraps a text at spaces. The first line begins with `first`, the others with as many spaces. */
export function wrap(text: string, width: number, first = ''): string {
  const indent = ' '.repeat(first.length)
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && indent.length + line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line].map((each, index) => (index === 0 ? first : indent) + each).join('\n')
}

/** A duration for people: `412 ms`, `59 s`, `9 min`, `23 h`, `30 d`. */
export function duration(ms: number): string {
  if (ms === Infinity) return 'never expires'
  const units = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'min'],
    [1_000, 's'],
  ] as const
  const [size, unit] = units.find(([each]) => ms >= each) ?? [1, 'ms']
  return `${Math.round(ms / size)} ${unit}`
}

/** A size for people: `64 B`, `1.2 KiB`. */
export function size(bytes: number): string {
  if (bytes < 1_024) return `${bytes} B`
  const isSmall = bytes < 1_048_576
  return isSmall ? `${(bytes / 1_024).toFixed(1)} KiB` : `${(bytes / 1_048_576).toFixed(1)} MiB`
}

export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}
