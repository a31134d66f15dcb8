// Runs the tests in every configuration: npm run test:full -- [section …] [path …] [option of Vitest …]
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { main, UserError } from './lib/cli.mjs'
import { root } from './lib/run.mjs'
import { prepareTests, runTests } from './lib/run-tests.mjs'
import { filesOfSections, sections, sectionsOfChange } from './lib/sections.mjs'

const usage = `Usage: npm run test:full -- [section …] [path …] [option of Vitest …]

  --changed  only sections whose files have changed since the last proof (.ci/proved), or since STOWAGE_BASE

Sections (without one, all):
  ${Object.keys(sections).join('  ')}
`
/** Contains the commit on which all sections passed last. */
const provedFile = join(root, '.ci', 'proved')

await main(async () => {
  const args = process.argv.slice(2)
  if (args.includes('--help')) return void console.log(usage)
  const named = args.filter((arg) => Object.hasOwn(sections, arg))
  const others = args.filter((arg) => !named.includes(arg) && arg !== '--changed')
  const chosen = args.includes('--changed') ? changedSections(named) : named
  if (chosen.length === 0 && args.includes('--changed')) return 0
  await prepareTests()
  const commit = args.length === 0 ? cleanCommit() : undefined
  const code = await runFull([...filesOfSections(chosen), ...others])
  if (code === 0 && commit !== undefined && commit === cleanCommit()) recordProof(commit)
  return code
})

/** Those of the named sections, or of all, whose files have changed. */
function changedSections(named) {
  const base = baseCommit()
  const changed = base === undefined ? Object.keys(sections) : sectionsOfChange(changedFiles(base))
  const chosen = changed.filter((name) => named.length === 0 || named.includes(name))
  console.log(`Sections changed since ${base ?? 'the beginning'}: ${chosen.join(', ') || 'none'}`)
  return chosen
}

function runFull(args) {
  return runTests(args, { TEST_TIER: 'full' })
}

/** What the changes are compared with: the base of a pull request, or else the last proof, or else the last tag. */
function baseCommit() {
  const { STOWAGE_BASE: given } = process.env
  if (given) return git('merge-base', given, 'HEAD')
  return readProof() ?? tryGit('describe', '--tags', '--abbrev=0')
}

/** The recorded commit. `undefined` if it is not in the history, as in a shallow clone. */
function readProof() {
  try {
    const commit = readFileSync(provedFile, 'utf8').trim()
    return tryGit('merge-base', '--is-ancestor', commit, 'HEAD') === undefined ? undefined : commit
  } catch {
    return undefined
  }
}

function recordProof(commit) {
  writeFileSync(provedFile, `${commit}\n`)
  console.log(
    `All sections passed. Commit .ci/proved, so that CI proves only what changes after it.`,
  )
}

/** The current commit; `undefined` if files have changed since. */
function cleanCommit() {
  if (tryGit('status', '--porcelain') !== '') return undefined
  return git('rev-parse', 'HEAD')
}

function changedFiles(base) {
  return git('diff', '--name-only', base)
    .split('\n')
    .filter((file) => file !== '' && file !== '.ci/proved')
}

function git(...args) {
  const output = tryGit(...args)
  if (output === undefined) throw new UserError(`git ${args.join(' ')} failed.`)
  return output
}

function tryGit(...args) {
  try {
    const stdio = ['ignore', 'pipe', 'ignore']
    return execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio }).trim()
  } catch {
    return undefined
  }
}
