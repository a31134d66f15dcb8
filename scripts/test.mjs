// Runs all checks and tests. Arguments are passed to Vitest: npm test -- packages/core
import { main, step } from './lib/cli.mjs'
import { prepare, toolPath } from './lib/prepare.mjs'
import { ensurePrograms } from './lib/required-programs.mjs'
import { run, runOrThrow } from './lib/run.mjs'

await main(async () => {
  await prepare(['@stowage/consumers', '@stowage/example-express4-jest'])
  await ensurePrograms()
  await step('Lint and format', () => node(toolPath('@biomejs/biome', 'bin/biome'), 'check', '.'))
  await step('Package boundaries', () => node('scripts/check-boundaries.mjs'))
  await step('Rules for tests', () => node('scripts/check-tests.mjs'))
  await step('Type-check tests', () =>
    node(toolPath('typescript', 'bin/tsc'), '-p', 'tsconfig.test.json'),
  )
  return run(process.execPath, [toolPath('vitest', 'vitest.mjs'), 'run', ...process.argv.slice(2)])
})

function node(...args) {
  return runOrThrow(process.execPath, args)
}
