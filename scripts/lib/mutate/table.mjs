import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../run.mjs'

const path = join(root, 'test/mutation.md')
const head = `# Defects that tests notice

\`npm run mutate -- core/locks --write\` changes the built code of a folder in one place at a time, and writes here what
notices the change first: a unit test of the package, the conformance kit, or the simulation. An equivalent mutant changes
nothing that can be observed.

| folder | mutants | unit tests | kit | simulation | equivalent | not noticed | date |
|---|---|---|---|---|---|---|---|
`

export const killerKinds = ['units', 'kit', 'simulation', 'equivalent', 'none']

/** What noticed a mutant. */
export function killerKind({ killer, reason }) {
  if (reason !== undefined) return 'equivalent'
  if (killer === undefined) return 'none'
  if (killer.startsWith('simulation')) return 'simulation'
  return /conforms to the contract|conformance\.test/.test(killer) ? 'kit' : 'units'
}

/** Writes the row of a folder, and what is known of its other mutants. The rest of the page remains. */
export function writeTable(room, outcomes) {
  const { rows, sections } = parse()
  const of = (kind) => outcomes.filter((outcome) => killerKind(outcome) === kind)
  const counts = killerKinds.map((kind) => of(kind).length)
  const date = new Date().toISOString().slice(0, 10)
  rows.set(room, `| ${[room, outcomes.length, ...counts, date].join(' | ')} |`)
  const lines = [...of('equivalent'), ...of('none')].map(lineOf)
  sections.set(room, lines.length > 0 ? `## ${room}\n\n${lines.join('\n')}` : '')
  const inOrder = (map) => [...map].sort(([a], [b]) => a.localeCompare(b)).map(([, text]) => text)
  const body = inOrder(sections).filter((text) => text !== '')
  writeFileSync(path, `${[head + inOrder(rows).join('\n'), ...body].join('\n\n')}\n`)
}

function parse() {
  let text = ''
  try {
    text = readFileSync(path, 'utf8')
  } catch {}
  const rows = [...text.matchAll(/^\| (\w[\w-]*\/\S+) \|.*$/gm)].map(([row, room]) => [room, row])
  const sections = text.split(/^(?=## )/m).slice(1)
  return {
    rows: new Map(rows),
    sections: new Map(sections.map((each) => [/^## (.*)/.exec(each)[1], each.trim()])),
  }
}

function lineOf({ file, operator, from, to, reason }) {
  const short = (text) => {
    const line = text.replaceAll(/\s+/g, ' ').replaceAll('`', "'")
    return line.length > 70 ? `${line.slice(0, 69)}…` : line
  }
  const where = file.replace(/^packages\/\w[\w-]*\/src\//, '')
  const change = `\`${short(from)}\` → \`${short(to)}\``
  return `- ${where}, ${operator}: ${change}. ${reason ?? 'Not noticed.'}`
}
