// Shows which defects no test notices: npm run mutate -- core/locks [--jobs 2]
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { main, UserError } from './lib/cli.mjs'
import { equivalents } from './lib/mutate/equivalents.mjs'
import { inTurn } from './lib/mutate/in-turn.mjs'
import { Killers } from './lib/mutate/killers.mjs'
import { KnownKillers } from './lib/mutate/known-killers.mjs'
import { mutantsOf } from './lib/mutate/mutants.mjs'
import { killerKind, killerKinds, writeTable } from './lib/mutate/table.mjs'
import { prepare } from './lib/prepare.mjs'
import { root } from './lib/run.mjs'

const usage = `Usage: npm run mutate -- <package>/<folder or file of its src> [option …]

Changes the built package in one place at a time, and runs the tests that reach it, and the simulation if they pass.

  --seeds N   of the scenarios of the folder (default 300); of the others, a thirtieth
  --jobs N    how many processes at once (default 1)
  --only ID   one mutant
  --again     only mutants that no test noticed in the last run, and new ones
  --quick     only the test files of the folder; another run with --again tries the others, the kit and the simulation
  --write     writes the result to test/mutation.md
`
await main(async () => {
  const { values, positionals } = parse(process.argv.slice(2))
  const [name, folder] = /^(\w[\w-]*)\/(.+)$/.exec(positionals[0] ?? '')?.slice(1) ?? []
  if (name === undefined) throw new UserError(usage)
  await prepare()
  const bundle = bundleOf(name, folder)
  const code = readFileSync(join(root, bundle), 'utf8')
  const all = mutantsOf(code, `packages/${name}/src/${folder}`)
  const chosen = all.filter(({ id }) => values.only === undefined || id === Number(values.only))
  if (chosen.length === 0) throw new UserError(`No code of ${positionals[0]}.\n\n${usage}`)
  const [seeds, jobs] = [Number(values.seeds), Number(values.jobs)]
  const limits = { seeds, jobs, isQuick: values.quick }
  const killers = new Killers(name, folder, chosen, { bundle, code, ...limits })
  const outcomes = await judge(chosen, killers, { room: positionals[0], code, values }).finally(
    () => killers.close(),
  )
  report(outcomes, positionals[0])
  const isComplete = !values.quick || outcomes.every((outcome) => killerKind(outcome) !== 'none')
  if (values.write && isComplete) writeTable(positionals[0], outcomes)
})

function judge(mutants, killers, { room, code, values }) {
  const known = new KnownKillers(room, values.again)
  return inTurn(mutants, Number(values.jobs), async (mutant) => {
    const line = code.slice(0, mutant.start).split('\n').length
    const reason = equivalents.find((each) => isSame(each, mutant, code))?.reason
    if (reason !== undefined) return { ...mutant, line, reason }
    const killer = known.get(mutant, code) ?? (await killers.find(mutant))
    known.set(mutant, code, killer)
    print(mutant, killer, line)
    return { ...mutant, line, killer }
  })
}

function isSame({ file, operator, after = '', from, to = '' }, mutant, code) {
  const inOneLine = (text) => text.replaceAll(/\s+/g, ' ')
  return (
    mutant.file.endsWith(`/${file}`) &&
    operator === mutant.operator &&
    inOneLine(code.slice(Math.max(0, mutant.start - 200), mutant.start)).endsWith(after) &&
    inOneLine(mutant.from).startsWith(from) &&
    inOneLine(mutant.to).startsWith(to)
  )
}

/** The built file that contains the code of a folder: the main one, or the one that several entry points share. */
function bundleOf(name, folder) {
  const files = ['index.js', 'shared.js'].map((file) => `packages/${name}/dist/${file}`)
  const hasCode = (file) =>
    existsSync(join(root, file)) &&
    readFileSync(join(root, file), 'utf8').includes(`packages/${name}/src/${folder}/`)
  return files.find(hasCode) ?? files[0]
}

function parse(args) {
  const options = {
    seeds: { type: 'string', default: '300' },
    jobs: { type: 'string', default: '1' },
    only: { type: 'string' },
    again: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  }
  try {
    return parseArgs({ args, options, allowPositionals: true })
  } catch (error) {
    throw new UserError(`${error.message}\n\n${usage}`)
  }
}

function print({ id, file, from, to, operator }, killer, line) {
  const short = (text) => text.replaceAll(/\s+/g, ' ').slice(0, 60)
  const where = `${id} ${file.replace(/^packages\/\w+\/src\//, '')}:${line}`
  if (killer !== undefined) console.log(`✓ ${where}  ${operator}  ${killer.slice(0, 120)}`)
  else console.log(`✗ ${where}  ${operator}  ${short(from)}  →  ${short(to)}`)
}

function report(outcomes, room) {
  const count = (kind) => outcomes.filter((outcome) => killerKind(outcome) === kind).length
  const numbers = killerKinds.map((kind) => `${kind} ${count(kind)}`).join(', ')
  const share = (100 * (1 - count('none') / outcomes.length)).toFixed(1)
  console.log(`\n${room}: ${share} % of ${outcomes.length} mutants noticed (${numbers})`)
}
