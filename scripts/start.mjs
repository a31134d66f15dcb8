// Serves the example application: installs and builds first where needed.
import { join } from 'node:path'
import { prepare } from './lib/prepare.mjs'
import { main } from './lib/progress.mjs'
import { root, run } from './lib/run.mjs'

await main(async () => {
  await prepare()
  // Ctrl-C reaches the application too; it is the one that decides when to end.
  process.on('SIGINT', () => {})
  process.on('SIGTERM', () => {})
  return run(process.execPath, ['dist/main.js'], { cwd: join(root, 'examples/express-app') })
})
