// Checks what users install with the published packages: that no package runs a script when it is installed, and that each
// has a licence that permits any use. An argument names another workspace to check than this one.
import { main, UserError } from './lib/cli.mjs'
import { dependencyProblems } from './lib/dependency-rules.mjs'
import { root } from './lib/run.mjs'

await main(() => {
  const wrong = dependencyProblems(process.argv[2] ?? root)
  if (wrong.length > 0) throw new UserError(`Runtime dependencies:\n  ${wrong.join('\n  ')}`)
})
