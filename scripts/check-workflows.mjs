// Checks the workflows of GitHub: actions are pinned to commits, permissions are listed, and no text from outside becomes
// part of a script. An argument names another folder to check than that of this workspace.
import { join } from 'node:path'
import { main, UserError } from './lib/cli.mjs'
import { root } from './lib/run.mjs'
import { workflowProblems } from './lib/workflow-rules.mjs'

await main(() => {
  const wrong = workflowProblems(process.argv[2] ?? join(root, '.github/workflows'))
  if (wrong.length > 0) throw new UserError(`Workflows:\n  ${wrong.join('\n  ')}`)
})
