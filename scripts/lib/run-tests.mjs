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

/** What is proved without running anything. */
export async function runChecks() {
  await Promise.all([
    step('Type-check tests', () => compile('-p', 'tsconfig.test.json')),
    step('Lint and format', () => node(toolPath('@biomejs/biome', 'bin/biome'), 'check', '.')),
    step('Package boundaries', () => node('scripts/check-boundaries.mjs')),
    step('Runtime dependencies', () => node('scripts/check-dependencies.mjs')),
    step('Workflows', () => node('scripts/check-workflows.mjs')),
    step('Rules for tests', () => node('scripts/check-tests.mjs')),
  ])
}

/** Resolves to the exit code of Vitest. */
export function runTests(args, env = {}) {
  return run(process.execPath, [toolPath('vitest', 'vitest.mjs'), 'run', ...args], { env })
}

function node(...args) {
  return runOrThrow(process.execPath, args)
}
