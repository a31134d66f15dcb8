// Everything that must hold before a change lands. Arguments go to Vitest: npm test -- packages/core
import { prepare, toolPath } from './lib/prepare.mjs'
import { main, step } from './lib/progress.mjs'
import { must, run } from './lib/run.mjs'
import { ensureServers } from './lib/servers.mjs'

await main(async () => {
  await prepare()
  await ensureServers()
  await step('Lint and format', () => node(toolPath('@biomejs/biome', 'bin/biome'), 'check', '.'))
  await step('Package boundaries', () => node('scripts/check-boundaries.mjs'))
  await step('Type-check tests', () =>
    node(toolPath('typescript', 'bin/tsc'), '-p', 'tsconfig.test.json'),
  )
  return run(process.execPath, [toolPath('vitest', 'vitest.mjs'), 'run', ...process.argv.slice(2)])
})

function node(...args) {
  return must(process.execPath, args)
}
