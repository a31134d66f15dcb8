import { step } from './cli.mjs'
import { compile, prepare, toolPath } from './prepare.mjs'
import { ensurePrograms } from './required-programs.mjs'
import { run, runOrThrow } from './run.mjs'

/** Installs and builds what the tests need. @param {{ isFullTier?: boolean }} [options] */
export async function prepareTests(options) {
  await prepare([
    ...['@stowage/consumers', '@stowage/bridge-hosts'],
    '@stowage/example-express4-jest',
  ])
  await ensurePrograms(options)
}

/**
 * Proves what can be proved without running anything, and runs the tests. The compiler uses one core for longer than all other
 * checks take, so the tests begin before it ends; a type error ends them. Resolves to the exit code of Vitest.
 */
export async function runChecksAndTests(args) {
  const stopped = new AbortController()
  const types = step('Type-check tests', () => compile('-p', 'tsconfig.test.json'))
  types.catch(() => stopped.abort())
  await runOtherChecks()
  const tests = runTests(args, {}, stopped.signal)
  const [code] = await Promise.all([tests, types])
  return code
}

async function runOtherChecks() {
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
