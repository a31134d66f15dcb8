// Checks the imports between packages, and between the folders of a package. An argument names another workspace to check
// than this one.
import { forbiddenImports } from './lib/boundaries.mjs'
import { main, UserError } from './lib/cli.mjs'
import { root } from './lib/run.mjs'

await main(async () => {
  const wrong = forbiddenImports(process.argv[2] ?? root)
  if (wrong.length > 0) throw new UserError(`Forbidden imports:\n  ${wrong.join('\n  ')}`)
})
