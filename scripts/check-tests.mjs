// Refuses tests that may pass or fail by chance. An argument names another workspace to check than this one.
import { main, UserError } from './lib/cli.mjs'
import { root } from './lib/run.mjs'
import { chanceProblems } from './lib/tests-by-chance.mjs'

await main(() => {
  const problems = chanceProblems(process.argv[2] ?? root)
  if (problems.length === 0) return
  throw new UserError(
    `Tests that may fail by chance:\n  ${problems.join('\n  ')}\n` +
      'If it cannot fail a test, add the file to scripts/lib/test-exceptions.mjs, with the reason.',
  )
})
