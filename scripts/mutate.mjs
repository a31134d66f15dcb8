// Shows which defects no test notices: npm run mutate -- core/locks [--jobs 2]
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { main, UserError } from './lib/cli.mjs'
import { config, coverageOf, isCovered, vitest } from './lib/mutate/coverage.mjs'
import { mutantsOf } from './lib/mutate/mutants.mjs'
import { prepare } from './lib/prepare.mjs'
import { root } from './lib/run.mjs'

const execute = promisify(execFile)
const usage = `Usage: npm run mutate -- <package>/<folder of its src> [option …]

Changes the built package in one place at a time, and runs the tests that reach it, and the simulation if they pass.

  --seeds N   of the scenarios of the folder (default 300); of the others, a tenth
  --jobs N    how many mutants at once (default 1)
  --only ID   one mutant
`
const hooks = pathToFileURL(join(root, 'scripts/lib/mutate/hooks.mjs')).href
/** The scenarios that reach most of a folder. */
const likely = {
  failover: ['failover'],
  generations: ['generations', 'facade', 'cleared-loads'],
  leases: ['remember', 'cleared-loads'],
  limits: ['limits'],
  loading: ['remember', 'cleared-loads'],
  locks: ['locks'],
  memo: ['siblings', 'facade'],
  near: ['near', 'bus', 'siblings'],
  remember: ['remember', 'cleared-loads'],
  tags: ['tags'],
  collections: ['write-through'],
}
/** The kit, which tests of other packages run on stores without a server. */
const kit = [
  'packages/memory/test/conformance.test.ts',
  'packages/testing/test/conformance.test.ts',
]

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
  const tests = await coverage(name, bundle, code)
  const scenarios = likely[folder] ?? []
  const outcomes = await inTurn(chosen, Number(values.jobs), async (mutant) => {
    const job = { ...mutant, bundle }
    const killer =
      (await killingTest(job, tests)) ?? (await killingSeed(job, scenarios, Number(values.seeds)))
    const line = code.slice(0, mutant.start).split('\n').length
    print(mutant, killer, line)
    return { ...mutant, line, killer }
  })
  report(outcomes, positionals[0])
})

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
  }
  try {
    return parseArgs({ args, options, allowPositionals: true })
  } catch (error) {
    throw new UserError(`${error.message}\n\n${usage}`)
  }
}

/** What each test file of a package reaches, measured once per build. */
async function coverage(name, bundle, code) {
  const folder = join(root, 'node_modules/.cache/stowage-mutate')
  const hash = createHash('sha256').update(code).digest('hex').slice(0, 16)
  const path = join(folder, `${name}-${hash}.json`)
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {}
  const own = readdirSync(join(root, `packages/${name}/test`), { recursive: true })
    .filter((file) => file.endsWith('.test.ts') && !file.endsWith('.full.test.ts'))
    .map((file) => `packages/${name}/test/${file}`)
  const files = [...own, ...kit]
  const measured = await inTurn(files, 2, (file) => coverageOf(file, bundle))
  const usable = measured.filter((each) => each !== undefined && each.ranges.length > 0)
  mkdirSync(folder, { recursive: true })
  writeFileSync(path, JSON.stringify(usable))
  return usable
}

/** The tests that reach the mutant, the fastest first; `undefined` if all pass. */
async function killingTest(mutant, tests) {
  const reaching = tests.filter((test) => isCovered(test, mutant.start))
  if (reaching.length === 0) return undefined
  const files = reaching.sort((a, b) => a.ms - b.ms).map(({ file }) => file)
  const ms = reaching.reduce((sum, test) => sum + test.ms, 0)
  const args = [vitest, 'run', '--config', config, '--reporter', 'json', ...files]
  const { stdout, failed } = await outcomeOf(args, mutant, Math.ceil(30_000 + 3 * ms))
  return failed ? (failedTest(stdout) ?? 'a test that does not end') : undefined
}

function failedTest(json) {
  try {
    const { testResults } = JSON.parse(json.slice(json.indexOf('{')))
    const file = testResults.find(({ status }) => status === 'failed')
    const test = file?.assertionResults.find(({ status }) => status === 'failed')
    return `${file.name.slice(root.length)}: ${test?.fullName ?? 'does not start'}`
  } catch {
    return undefined
  }
}

async function killingSeed(mutant, scenarios, seeds) {
  const program = join(root, 'scripts/lib/mutate/simulate.mjs')
  const run = async (count, names) => {
    const args = ['--no-warnings', '--import', hooks, program, String(count), ...names]
    const { stdout, failed } = await outcomeOf(args, mutant, 300_000)
    return failed ? `simulation: ${stdout.trim() || 'does not end'}` : undefined
  }
  const first = scenarios.length > 0 ? await run(seeds, scenarios) : undefined
  return first ?? run(Math.ceil(seeds / 10), [])
}

async function outcomeOf(args, mutant, timeout) {
  const env = { ...process.env, STOWAGE_MUTANT: JSON.stringify(mutant) }
  const options = { cwd: root, env, timeout, killSignal: 'SIGKILL', maxBuffer: 1e9 }
  return execute(process.execPath, args, options).then(
    ({ stdout }) => ({ stdout, failed: false }),
    ({ stdout = '' }) => ({ stdout, failed: true }),
  )
}

async function inTurn(items, jobs, work) {
  const results = []
  let next = 0
  const worker = async () => {
    while (next < items.length) {
      const index = next++
      results[index] = await work(items[index])
    }
  }
  await Promise.all(Array.from({ length: jobs }, worker))
  return results
}

function print({ id, file, from, to, operator }, killer, line) {
  const short = (text) => text.replaceAll(/\s+/g, ' ').slice(0, 60)
  const where = `${id} ${file.replace(/^packages\/\w+\/src\//, '')}:${line}`
  if (killer !== undefined) console.log(`✓ ${where}  ${operator}  ${killer.slice(0, 120)}`)
  else console.log(`✗ ${where}  ${operator}  ${short(from)}  →  ${short(to)}`)
}

function report(outcomes, room) {
  const killed = outcomes.filter(({ killer }) => killer !== undefined)
  const bySimulation = killed.filter(({ killer }) => killer.startsWith('simulation'))
  const share = ((100 * killed.length) / outcomes.length).toFixed(1)
  console.log(
    `\n${room}: ${killed.length} of ${outcomes.length} mutants noticed (${share} %), ${bySimulation.length} by the simulation`,
  )
}
