// Serves the example application: installs and builds first where needed.
import { join } from 'node:path'
import { prepare } from './lib/prepare.mjs'
import { main } from './lib/progress.mjs'
import { root, run } from './lib/run.mjs'

await main(async () => {
  await prepare()
  return run(process.execPath, ['dist/main.js'], { cwd: join(root, 'examples/express-app') })
})
