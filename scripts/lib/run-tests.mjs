import { step } from './cli.mjs'
import { build, compile, prepare, prepareDependencies, toolPath } from './prepare.mjs'
import { ensurePrograms } from './required-programs.mjs'
import { run, runOrThrow } from './run.mjs'

/** What the tests need, besides the packages that everything needs. */
const optional = ['@stowage/consumers', '@stowage/bridge-hosts', '@stowage/example-express4-jest']

/** Installs and builds what the tests need. */
export async function prepareTests() {
  await prepare(optional)
  await ensurePrograms()
}

/**
 * Installs and builds what the tests need, proves what can be proved without running anything, and runs the tests. The
 * compiler uses one core for longer than all other checks take, so these run beside the build, and the tests begin before
 * all types are checked; a type error ends them. Resolves to the exit code of Vitest.
 */
export async function runChecksAndTests(args) {
  // On a bare machine, both install for more than a minute.
  await Promise.all([ensurePrograms(), buildAndCheckSources()])
  const stopped = new AbortController()
  const types = step('Type-check tests', () => compile('-p', 'tsconfig.test.json'))
  types.catch(() => stopped.abort())
  const tests = runTests(args, {}, stopped.signal)
  const [code] = await Promise.all([tests, types])
  return code
}

async function buildAndCheckSources() {
  await prepareDependencies(optional)
  await Promise.all([step('Build', () => build()), checkSources()])
}

async function checkSources() {
  await Promise.all([
    step('Lint and format', () => node(toolPath('@biomejs/biome', 'bin/biome'), 'check', '.')),
    step('Package boundaries', () => node('scripts/check-boundaries.mjs')),
    step('Runtime dependencies', () => node('scripts/check-dependencies.mjs')),
    step('Workflows', () => node('scripts/check-workflows.mjs')),
    step('Rules for tests', () => node('scripts/check-tests.mjs')),
  ])
}

/** Resolves to the exit code of Vitest. */
export function runTests(args, env = {}, signal = undefined) {
  return run(process.execPath, [toolPath('vitest', 'vitest.mjs'), 'run', ...args], { env, signal })
}

function node(...args) {
  return runOrThrow(process.execPath, args)
}
